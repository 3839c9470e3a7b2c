// Loaded before the suite's client. The suite asks `fetch` for `cache: 'no-store'`, which its own
// fetch ignores; that of Node 18 and later takes it, and any condition or range, for a wish and adds
// `Cache-Control: no-cache` to each request that has no such field, so that no cache may ever answer.
// Such requests get the two harmless fields that the suite gives to all others.
const fetch = globalThis.fetch
globalThis.fetch = (url, { cache, ...init } = {}) => {
  const headers = new Headers(init.headers)
  if (!headers.has('cache-control') && !headers.has('pragma')) {
    headers.set('cache-control', 'nothing-to-see-here')
    headers.set('pragma', 'foo')
  }
  return fetch(url, { ...init, headers })
}
