// Compares the score of a run with the baseline: what passed must pass. Rows that only describe a
// behaviour ("yes") are told when they change, and are no failure.
//   node compare.mjs SCORE BASELINE [1 to write down what passes beside it]
import fs from 'node:fs'

const [score, file, bless] = process.argv.slice(2)
const run = Object.values(JSON.parse(fs.readFileSync(score, 'utf8')))[0]
const known = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : { pass: [], yes: [] }
const now = { pass: [], yes: [] }
for (const [id, verdict] of Object.entries(run.verdicts)) now[verdict]?.push(id)
for (const ids of Object.values(now)) ids.sort()

const lost = known.pass.filter(id => !now.pass.includes(id))
const won = now.pass.filter(id => !known.pass.includes(id))
const other = known.yes.filter(id => !now.yes.includes(id))
for (const id of lost) console.log(`LOST ${id}: ${run.verdicts[id]}`)
for (const id of won) console.log(`won ${id}`)
for (const id of other) console.log(`differs ${id}: ${run.verdicts[id]}`)

// The 8 rows of a field that is no standard (Surrogate-Control) are told apart.
const [all, extra] = [run.total, run.categories['surrogate-control']]
const of = (kind, part) => all[kind][part] - (extra?.[kind][part] ?? 0)
console.log(`required ${of('required', 0)}/${of('required', 1)}, with Surrogate-Control ${all.required.join('/')};` +
  ` optimal ${all.optimal.join('/')}; behaviours ${all.check.join('/')}`)
if (bless && !lost.length) {
  const merged = { pass: [...new Set([...known.pass, ...won])].sort(), yes: now.yes }
  fs.writeFileSync(file, JSON.stringify(merged, null, 1) + '\n')
}
console.log(`${known.pass.length - lost.length} passed, ${lost.length} failed`)
process.exit(lost.length ? 1 : 0)
