//! `gc`: makes room by the rules of eviction, and clears away what nobody asks for any more.

use std::collections::HashSet;

use super::{Amount, Cache, Events, Failure, Left, PAGE, Room, kind_of};
use crate::clock::Time;
use crate::entry::{Digest, Stored};
use crate::store::{Goal, Pinned, Quota, Row, SHARDS, STEP};

impl Cache {
    pub(super) async fn make_room(
        &self,
        dry_run: bool,
        (size_max, damaged): (Option<u64>, bool),
        events: &Events,
    ) -> Result<Room, Failure> {
        let quota = **self.quota.load();
        let quota = Quota {
            size_max: size_max.unwrap_or(quota.size_max),
            ..quota
        };
        let mut room = Room {
            dry_run,
            ..Room::default()
        };
        let mut freed = 0;
        for goal in self.store.too_much(&quota).await? {
            // What went as an answer to a query counts for the whole too.
            let Some(goal) = goal.less(freed) else {
                continue;
            };
            let before = room.bytes;
            room.wanted += goal.bytes();
            if dry_run {
                self.plan(goal, &mut room).await?;
            } else {
                self.evict(goal, &mut room, events).await?;
            }
            freed = room.bytes - before;
        }
        if damaged {
            self.clear_away(&mut room, events).await?;
        }
        Ok(room)
    }

    async fn evict(&self, goal: Goal, room: &mut Room, events: &Events) -> Result<(), Failure> {
        let (begun, wanted) = (room.bytes, goal.bytes());
        let mut goal = Some(goal);
        while let Some(step) = goal {
            let evicted = self.store.evict(step).await?;
            for (key, body) in evicted.entries {
                let row = Row {
                    key,
                    body: Some(body),
                    used_at: Time::default(),
                };
                room.count(&row);
            }
            room.responses += evicted.responses;
            room.bytes += evicted.bytes;
            goal = evicted.rest;
            events.progress(room.bytes - begun, wanted).await?;
        }
        Ok(())
    }

    /// What [`Cache::evict`] would do, found by reading alone: the same steps in the same order.
    async fn plan(&self, goal: Goal, room: &mut Room) -> Result<(), Failure> {
        let pins = self.store.pins().await?.into_iter();
        let pinned = Pinned::new(pins.flat_map(|pin| pin.prefixes).collect());
        let mut plan = Plan {
            queries: goal.is_of_queries(),
            ..Plan::default()
        };
        let mut after = (Time::default(), String::new());
        let mut rows = Vec::new().into_iter();
        let mut more = true;
        while plan.bytes < goal.bytes() {
            let gone = self.plan_responses(&mut plan, room).await?;
            let mut taken = 0;
            while taken < STEP && plan.bytes < goal.bytes() {
                let Some(row) = rows.next() else {
                    if !more {
                        break;
                    }
                    let at = (after.0, after.1.as_str());
                    let page = self.store.next_to_go(&goal, at, PAGE).await?;
                    more = page.len() as u64 == PAGE;
                    rows = page.into_iter();
                    continue;
                };
                let row: Row = row;
                after = (row.used_at, row.key.as_str().to_owned());
                if let Some(body) = row.body.filter(|_| !pinned.covers(row.key.as_str())) {
                    taken += 1;
                    room.count(&row);
                    self.plan_body(&mut plan, body).await?;
                }
            }
            if taken == 0 && gone == 0 && !more {
                break;
            }
        }
        room.bytes += plan.bytes;
        Ok(())
    }

    /// The responses that go in one step; says how many.
    async fn plan_responses(&self, plan: &mut Plan, room: &mut Room) -> Result<u64, Failure> {
        if plan.queries {
            return Ok(0);
        }
        let from = plan.responses;
        let bodies = self.store.responses_to_go(from, STEP as u64).await?;
        plan.responses += bodies.len() as u64;
        room.responses += bodies.len() as u64;
        for body in &bodies {
            self.plan_body(plan, *body).await?;
        }
        Ok(bodies.len() as u64)
    }

    /// Counts a body when the last of those that name it goes.
    async fn plan_body(&self, plan: &mut Plan, body: Stored) -> Result<(), Failure> {
        if plan.queries {
            plan.bytes += body.size;
            return Ok(());
        }
        if plan.left.is_last(&self.store, body.digest).await? {
            plan.bytes += body.size;
        }
        Ok(())
    }

    /// Removes bodies that no entry names, and those that were put aside.
    async fn clear_away(&self, room: &mut Room, events: &Events) -> Result<(), Failure> {
        for shard in 0..SHARDS {
            let [_, first] = shard.to_be_bytes();
            let files = self.store.shard(first).await?;
            let named = self.store.named_shard(first).await?;
            let named: HashSet<Digest> = named.into_iter().map(|body| body.digest).collect();
            for (digest, size) in files {
                if named.contains(&digest) {
                    continue;
                }
                if room.dry_run || self.store.remove_unnamed(digest).await? {
                    room.entry_less.add(size);
                }
            }
            events
                .progress(u64::from(shard) + 1, u64::from(SHARDS))
                .await?;
        }
        let aside = if room.dry_run {
            self.store.aside().await?
        } else {
            self.store.clear_aside().await?
        };
        room.damaged = Amount {
            count: aside.files,
            bytes: aside.bytes,
        };
        Ok(())
    }
}

/// How far a plan is.
#[derive(Default)]
struct Plan {
    queries: bool,
    bytes: u64,
    responses: u64,
    left: Left,
}

impl Room {
    fn count(&mut self, row: &Row) {
        let size = row.body.map_or(0, |body| body.size);
        let kind = kind_of(row).to_owned();
        self.kinds.entry(kind).or_default().add(size);
    }
}
