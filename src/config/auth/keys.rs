//! The keys of a feed's credential in the table of settings, and how each is read.

use std::path::PathBuf;

use http::HeaderName;

use super::{FORMS, Form};
use crate::config::address::authority;
use crate::config::env::PREFIX;
use crate::config::secret::Secret;
use crate::config::setting::{Kind, Setting};

/// Fields that the client, the protocol or nugate itself sets, and that make no sense as a secret.
const TAKEN: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-nuget-client-version",
    "x-nuget-session-id",
];

/// The settings of a feed's credential.
pub(in crate::config) const AUTH: &[Setting] = &[
    Setting {
        key: "feeds.NAME.auth",
        default: "\"none\"",
        kind: Kind::Choice(FORMS, |config, index| {
            config.feed.auth.form = [
                Form::None,
                Form::Basic,
                Form::Bearer,
                Form::ApiKey,
                Form::Header,
            ][index];
        }),
        doc: "How nugate proves to the feed who it is: `basic` with `username` and a password or personal access token, `bearer` with a token, `api-key` with a key in `X-NuGet-ApiKey`, `header` with a secret in the field `auth_header`. It goes to the origin of the feed's `url` and to `credential_hosts`, nowhere else. Whoever may ask nugate may read what the feed shows to it.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.username",
        default: "",
        kind: Kind::Text(
            "a name without colon, for auth = \"basic\"",
            |config, text| {
                config.feed.auth.username = Some(username(text)?);
                Ok(())
            },
        ),
        doc: "The user name for `basic`. Feeds that take personal access tokens ignore it, but want one.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.auth_header",
        default: "",
        kind: Kind::Text(
            "the name of a header field, for auth = \"header\"",
            |config, text| {
                config.feed.auth.header = Some(field_name(text)?);
                Ok(())
            },
        ),
        doc: "The field that carries the secret for `header`, such as `X-JFrog-Art-Api`.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.password",
        default: "",
        kind: Kind::Secret(|config, text| {
            config.feed.auth.password = Some(Secret::new(text));
            Ok(())
        }),
        doc: "The password, token or key itself. Exactly one of `password`, `password_env`, `password_file` and `password_credential` is given.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.password_env",
        default: "",
        kind: Kind::Text("the name of an environment variable", |config, text| {
            config.feed.auth.variable = Some(variable(text)?);
            Ok(())
        }),
        doc: "The environment variable that holds it.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.password_file",
        default: "",
        kind: Kind::Text("the path of a file", |config, text| {
            config.feed.auth.file = Some(path(text)?);
            Ok(())
        }),
        doc: "The file that holds it, read at start and on SIGHUP; the end of its line does not count.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.password_credential",
        default: "",
        kind: Kind::Text("the name of a credential of the service", |config, text| {
            config.feed.auth.named = Some(credential_name(text)?);
            Ok(())
        }),
        doc: "The credential of the systemd service that holds it (`LoadCredential=`): the file of this name in `$CREDENTIALS_DIRECTORY`.",
        short: None,
    },
    Setting {
        key: "feeds.NAME.credential_hosts",
        default: "[]",
        kind: Kind::List(
            "a host name or host:port",
            |config| config.feed.auth.hosts.clear(),
            |config, text| {
                config.feed.auth.hosts.push(authority(text)?);
                Ok(())
            },
        ),
        doc: "Further hosts that get the credential, by the same scheme as the feed: for feeds whose resources lie on several. The feed may redirect to them.",
        short: None,
    },
];

pub(super) fn username(text: &str) -> Result<String, String> {
    match text {
        "" => Err("is empty".to_owned()),
        // RFC 7617 section 2.
        _ if text.contains(':') => Err("has a colon in it".to_owned()),
        _ if text.chars().any(char::is_control) => Err("has a control character in it".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

pub(super) fn field_name(text: &str) -> Result<String, String> {
    let name: HeaderName = text
        .parse()
        .map_err(|_| "is not the name of a header field")?;
    if TAKEN.contains(&name.as_str()) {
        return Err("is a field that nugate or the protocol sets".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn variable(text: &str) -> Result<String, String> {
    if text.starts_with(PREFIX) {
        return Err(format!(
            "begins with {PREFIX}, which is for settings: NUGATE_FEEDS__NAME__PASSWORD is the \
             password itself"
        ));
    }
    if text.is_empty() || text.contains(['=', '\0']) {
        return Err("is not the name of a variable".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("is not a path".to_owned());
    }
    if text.starts_with("~/") {
        return Err("starts with `~`, which is not expanded here".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// One segment of a path, as systemd.exec(5) wants the names of credentials.
pub(super) fn credential_name(text: &str) -> Result<String, String> {
    let fits = !matches!(text, "" | "." | "..") && !text.contains(['/', '\0']);
    if fits {
        Ok(text.to_owned())
    } else {
        Err("is not a file name".to_owned())
    }
}
