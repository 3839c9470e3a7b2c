//! The settings of lines: what clients and feeds may take of them, and when.

use toml::Spanned;
use toml::de::DeValue;

use super::Config;
use super::raw::{File, RawConfig};
use super::setting::{Kind, Setting};
use super::tables::Tables;
use super::value::Speed;
use crate::policy::pacing::{DAY_MINUTES, Days, Direction, Rate, Window};

/// What one client may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientsConfig {
    /// Bytes to one client.
    pub rate: Option<Rate>,
    /// Requests of one client in a second; 0 is no limit.
    pub requests_per_second: u32,
    /// Its searches and pushes that feeds are asked for; 0 is no limit.
    pub searches_per_second: u32,
    /// Its other documents that feeds are asked for; 0 is no limit.
    pub fetches_per_second: u32,
}

/// A limit of all bytes in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BandwidthConfig {
    /// Its name; its number where it has none.
    pub name: String,
    /// How much, and when.
    pub window: Window,
}

/// The tables `[[bandwidth]]`.
pub(super) const LIMITS: Tables = Tables {
    prefix: "bandwidth.",
    settings: BANDWIDTH,
    required: ("rate", "is missing: a limit needs its rate"),
    what: "limit",
    max: 64,
};

impl Config {
    /// Makes the limit that a key belongs to the last one, where its settings are read into.
    pub(super) fn turn_to_limit(&mut self, key: &str) {
        let Some(name) = LIMITS.name_of(key) else {
            return;
        };
        let known = self.bandwidth.iter().position(|limit| limit.name == name);
        let limit = match known {
            Some(at) => self.bandwidth.remove(at),
            None => blank(name),
        };
        self.bandwidth.push(limit);
    }

    fn window(&mut self) -> &mut Window {
        if self.bandwidth.is_empty() {
            self.bandwidth.push(blank(""));
        }
        let last = self.bandwidth.len() - 1;
        &mut self.bandwidth[last].window
    }
}

#[expect(clippy::expect_used, reason = "a constant that is not 0")]
fn blank(name: &str) -> BandwidthConfig {
    BandwidthConfig {
        name: name.to_owned(),
        window: Window {
            rate: Rate::new(1).expect("not 0"),
            direction: Direction::Upstream,
            from: 0,
            to: DAY_MINUTES,
            days: Days::ALL,
        },
    }
}

impl RawConfig {
    /// Takes the `[[bandwidth]]` tables, which are named by their numbers. Whether there were any.
    pub(super) fn add_limits(
        &mut self,
        file: &File,
        value: &Spanned<DeValue<'_>>,
        end: usize,
    ) -> bool {
        let DeValue::Array(items) = value.get_ref() else {
            return false;
        };
        let tables = || items.iter().map(|item| item.get_ref().as_table());
        if tables().any(|table| table.is_none()) {
            return false;
        }
        for (at, table) in tables().flatten().enumerate() {
            let path = &mut vec!["bandwidth".to_owned(), (at + 1).to_string()];
            self.add_table(file, path, table, end);
        }
        true
    }
}

/// A speed, or none.
pub(super) fn rate(text: &str) -> Result<Option<Rate>, String> {
    if text == "none" {
        return Ok(None);
    }
    let Speed(rate) = text.parse()?;
    Ok(Some(rate))
}

/// A time of the day in minutes.
fn minute(text: &str) -> Result<u16, String> {
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| digits)
    };
    let parts = text.split_once(':');
    let parts = parts.and_then(|(hour, minute)| Some((number(hour)?, number(minute)?)));
    let time =
        parts.filter(|(hour, minute)| *hour < 24 && *minute < 60 || (*hour, *minute) == (24, 0));
    time.map(|(hour, minute)| hour * 60 + minute)
        .ok_or_else(|| "is not a time of the day".to_owned())
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Days and spans of days, separated by commas.
fn days(text: &str) -> Result<Days, String> {
    let day = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        let found = DAYS.iter().position(|day| *day == name);
        found.ok_or_else(|| format!("has the unknown day `{name}`"))
    };
    let mut days = Days::NONE;
    for span in text.split(',') {
        let (first, last) = span.split_once('-').unwrap_or((span, span));
        days = days.with(day(first)?, day(last)?);
    }
    Ok(days)
}

/// What a rate may be.
pub(super) const RATE: &str =
    "none, or a whole number and kbit/s, Mbit/s, Gbit/s, kB/s, MB/s or GB/s";

/// The settings of clients.
pub(super) const CLIENTS: &[Setting] = &[
    Setting {
        key: "clients.rate",
        default: "\"none\"",
        kind: Kind::Text(RATE, |config, text| {
            config.clients.rate = rate(text)?;
            Ok(())
        }),
        doc: "The most bytes a second to one client: an address (IPv6: a /64), or a user or key wherever it comes from. All its downloads share it.",
        short: None,
    },
    Setting {
        key: "clients.requests_per_second",
        default: "0",
        kind: Kind::Count(0, 1_000_000, |config, number| {
            config.clients.requests_per_second = number;
        }),
        doc: "The most requests of one client a second, those of ten seconds at once; 0 is no limit. Further ones of a restore wait in order, up to 1024 of them and 50 seconds, then 503; searches and pushes get 429. Both with `Retry-After`.",
        short: None,
    },
    Setting {
        key: "clients.searches_per_second",
        default: "50",
        kind: Kind::Count(0, 1_000_000, |config, number| {
            config.clients.searches_per_second = number;
        }),
        doc: "The most searches and pushes of one client a second that a feed is asked for, those of ten seconds at once; 0 is no limit. Further ones get what is stored, else 429 with `Retry-After`. What is answered from the cache does not count.",
        short: None,
    },
    Setting {
        key: "clients.fetches_per_second",
        default: "500",
        kind: Kind::Count(0, 1_000_000, |config, number| {
            config.clients.fetches_per_second = number;
        }),
        doc: "The most other documents of one client a second that a feed is asked for, those of ten seconds at once; 0 is no limit. Further ones wait in order, up to 1024 of them and 50 seconds, then 503 with `Retry-After`. What is answered from the cache does not count.",
        short: None,
    },
];

/// The settings of a limit.
pub(super) const BANDWIDTH: &[Setting] = &[
    Setting {
        key: "bandwidth.NAME.rate",
        default: "",
        kind: Kind::Text(
            "a whole number and kbit/s, Mbit/s, Gbit/s, kB/s, MB/s or GB/s",
            |config, text| {
                let Speed(rate) = text.parse()?;
                config.window().rate = rate;
                Ok(())
            },
        ),
        doc: "The most bytes a second of all feeds or all clients together. In the file each limit is a `[[bandwidth]]` table, and `NAME` its number, from 1. Where several hold, the lowest counts.",
        short: None,
    },
    Setting {
        key: "bandwidth.NAME.direction",
        default: "\"upstream\"",
        kind: Kind::Choice(&["upstream", "clients"], |config, index| {
            config.window().direction = [Direction::Upstream, Direction::Clients][index];
        }),
        doc: "`upstream` limits what comes from feeds, `clients` what goes to clients.",
        short: None,
    },
    Setting {
        key: "bandwidth.NAME.from",
        default: "\"00:00\"",
        kind: Kind::Text("a time such as 08:00", |config, text| {
            config.window().from = minute(text)?;
            Ok(())
        }),
        doc: "When it begins, in `time_zone`.",
        short: None,
    },
    Setting {
        key: "bandwidth.NAME.to",
        default: "\"24:00\"",
        kind: Kind::Text("a time such as 18:00", |config, text| {
            config.window().to = minute(text)?;
            Ok(())
        }),
        doc: "When it ends; on the next day when that is not later than `from`.",
        short: None,
    },
    Setting {
        key: "bandwidth.NAME.days",
        default: "\"mon-sun\"",
        kind: Kind::Text(
            "days such as mon-fri or sat,sun: mon, tue, wed, thu, fri, sat, sun",
            |config, text| {
                config.window().days = days(text)?;
                Ok(())
            },
        ),
        doc: "The days on which it begins.",
        short: None,
    },
];

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::Sources;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = [&[("HOME", "/home/n")], environment].concat().into_iter();
        Config::load(&Sources {
            file: Some((PathBuf::from("n.toml"), file.to_owned())),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            flags: Vec::new(),
        })
        .map_err(|errors| errors.to_string())
    }

    #[test]
    fn limits_are_a_list_and_have_defaults() {
        let file = "time_zone = '+01:00'\n[clients]\nrate = '20 Mbit/s'\n\
                    [feeds.nuget]\nrate = '3 MB/s'\n\
                    [[bandwidth]]\nrate = '2 Mbit/s'\nfrom = '08:00'\nto = '18:30'\ndays = 'mon-fri'\n\
                    [[bandwidth]]\nrate = '1 GB/s'\ndirection = 'clients'\n";
        let config = load(file, &[("NUGATE_BANDWIDTH__1__TO", "17:00")]).unwrap();
        assert_eq!(config.clients.rate.map(Rate::bytes), Some(2_500_000));
        assert_eq!(config.feed.rate.map(Rate::bytes), Some(3_000_000));
        assert_eq!(config.time_zone, "+01:00");
        let mut limits = config.bandwidth;
        limits.sort_by(|a, b| a.name.cmp(&b.name));
        let [first, second] = &limits[..] else {
            panic!("{limits:?}")
        };
        let expected = Window {
            rate: Rate::new(250_000).unwrap(),
            direction: Direction::Upstream,
            from: 8 * 60,
            to: 17 * 60,
            days: Days::NONE.with(0, 4),
        };
        assert_eq!((&*first.name, first.window), ("1", expected));
        let expected = Window {
            rate: Rate::new(1_000_000_000).unwrap(),
            direction: Direction::Clients,
            from: 0,
            to: DAY_MINUTES,
            days: Days::ALL,
        };
        assert_eq!((&*second.name, second.window), ("2", expected));
        let none = load("", &[]).unwrap();
        assert_eq!((none.clients.rate, none.feed.rate), (None, None));
        assert!(none.bandwidth.is_empty());
    }

    #[test]
    fn mistakes_are_told_with_what_is_allowed() {
        let file = "[[bandwidth]]\nfrom = '8:00'\nto = '24:01'\ndays = 'mon-fry'\n\
                    [[bandwidth]]\nrate = '2 Mb/s'\n[clients]\nrate = '5'\n";
        let errors = load(file, &[]).unwrap_err();
        let starts = [
            "n.toml:2:8: bandwidth.1.rate: is missing: a limit needs its rate",
            "n.toml:2:8: bandwidth.1.from = \"8:00\": is not a time of the day; allowed",
            "n.toml:3:6: bandwidth.1.to = \"24:01\": is not a time of the day; allowed",
            "n.toml:4:8: bandwidth.1.days = \"mon-fry\": has the unknown day `fry`; allowed",
            "n.toml:6:8: bandwidth.2.rate = \"2 Mb/s\": has the unknown unit `Mb/s`",
            "n.toml:8:8: clients.rate = \"5\": has no unit",
        ];
        let lines: Vec<_> = errors.lines().collect();
        assert_eq!(lines.len(), starts.len(), "{errors}");
        for (line, start) in lines.iter().zip(starts) {
            assert!(line.starts_with(start), "{errors}");
        }
        let errors = load("bandwidth = ['2 Mbit/s']", &[]).unwrap_err();
        assert!(errors.contains("[[bandwidth]]"), "{errors}");
    }

    #[test]
    fn days_and_times() {
        assert_eq!(days("Sat, sun"), Ok(Days::NONE.with(5, 6)));
        assert_eq!(days("fri-mon"), Ok(Days::NONE.with(4, 0)));
        assert_eq!(days("mon-sun"), Ok(Days::ALL));
        assert!(days("").is_err() && days("mon-").is_err());
        assert_eq!((minute("00:00"), minute("24:00")), (Ok(0), Ok(DAY_MINUTES)));
        assert!(minute("+8:00").is_err() && minute("12:60").is_err());
    }
}
