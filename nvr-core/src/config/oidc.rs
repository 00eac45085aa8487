//! `[oidc]`: logins by an OpenID Connect provider, beside the recorder's own accounts.

use super::reader::{At, Reader, Section, section};
use super::values::Text;
use crate::ids::CameraId;
use crate::secret::Secret;

/// What members of a group may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupRole {
    /// Look and play.
    Viewer,
    /// Also record, export, protect, jobs.
    Operator,
    /// Everything.
    Admin,
}

/// Whom the members of a group are here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OidcGroup {
    /// Name of the group, as the provider has it.
    pub name: String,
    /// What they may do.
    pub role: GroupRole,
    /// With which cameras; `None`: all.
    pub cameras: Option<Vec<CameraId>>,
}

/// Logins by an OpenID Connect provider.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OidcConfig {
    /// The provider's address: what it calls itself in its tokens.
    pub issuer: String,
    /// By which name the provider knows this recorder.
    pub client_id: String,
    /// What the recorder shows to it; none for a public client.
    pub client_secret: Option<Secret>,
    /// What the button says behind "Sign in with".
    pub name: String,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim with the name of the user.
    pub user_claim: String,
    /// The claim with the groups, or roles, of the user.
    pub groups_claim: String,
    /// Who may log in, in order: the first group that somebody is in counts.
    pub groups: Vec<OidcGroup>,
}

impl OidcConfig {
    /// With defaults, and nobody who may log in.
    #[must_use]
    pub fn new(issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            client_id: client_id.into(),
            client_secret: None,
            name: "single sign-on".into(),
            scopes: vec!["profile".into()],
            user_claim: "preferred_username".into(),
            groups_claim: "groups".into(),
            groups: Vec::new(),
        }
    }

    /// The group that counts for a member of these; `None` for who may not log in.
    #[must_use]
    pub fn group_of(&self, member_of: &[String]) -> Option<&OidcGroup> {
        self.groups.iter().find(|g| member_of.contains(&g.name))
    }
}

section! {
    /// Logins by an OpenID Connect provider (Keycloak, Authentik, Entra …), beside the accounts of the recorder. The address
    /// to which the provider sends back is `/api/v1/session/oidc/callback` below that of the recorder. Needs a recorder that
    /// was built with the feature `oidc`.
    RawOidc requires ["issuer", "client_id", "groups"] {
        /// Address of the provider, as it calls itself: `"https://sso.example.org/realms/home"`. Without TLS only on
        /// this machine.
        issuer: Text,
        /// By which name the provider knows this recorder.
        client_id: Text,
        /// What the recorder shows to it. Better a variable: `${OIDC_SECRET}` or `${file:/run/secrets/oidc}`. None for a
        /// public client: PKCE is used in any case.
        client_secret: Text,
        /// What the button says behind "Sign in with".
        name: Text = "single sign-on",
        /// What is asked for beside `openid`, separated by commas.
        scopes: Text = "profile",
        /// The claim with the name of the user.
        user_claim: Text = "preferred_username",
        /// The claim with the groups of the user; levels of nested ones are separated by dots
        /// (`"realm_access.roles"`).
        groups_claim: Text = "groups",
        /// Who may log in: groups, separated by semicolons, each with `admin`, `operator` or `viewer`, and with cameras
        /// where it is not all of them: `"nvr-admins = admin; family = operator: front, yard"`. The first group that
        /// somebody is in counts; who is in none is refused.
        groups: Text,
    }
}

impl OidcConfig {
    /// Reads the section, if it is there.
    pub(super) fn read(reader: &mut Reader<'_, '_>, section: &Section<'_>) -> Option<Self> {
        section.table?;
        let raw = RawOidc::read(reader, section);
        let has = |key| section.table.is_some_and(|t| t.contains_key(key));
        for (key, hint) in [
            (
                "issuer",
                "name the provider: issuer = \"https://sso.example.org/realms/home\"",
            ),
            ("client_id", "say by which name the provider knows the recorder"),
            (
                "groups",
                "say who may log in: groups = \"nvr-admins = admin; family = viewer\"",
            ),
        ] {
            if !has(key) {
                reader.missing(section, key, hint);
            }
        }
        let text = |at: &Option<At<Text>>| at.as_ref().map(|at| at.value.as_str().trim().to_owned());
        let mut out = Self::new("", text(&raw.client_id).unwrap_or_default());
        if let Some(at) = &raw.issuer {
            if is_issuer(at.value.as_str()) {
                at.value.as_str().clone_into(&mut out.issuer);
            } else {
                reader.problems.error(
                    &at.span,
                    &at.key,
                    format!("`issuer`: {} is not usable", at.value.shown()),
                    Some("write an https address without parameters; http only for this machine".into()),
                );
            }
        }
        out.client_secret = text(&raw.client_secret)
            .filter(|s| !s.is_empty())
            .map(Secret::new);
        for (at, place) in [
            (&raw.name, &mut out.name),
            (&raw.user_claim, &mut out.user_claim),
            (&raw.groups_claim, &mut out.groups_claim),
        ] {
            let Some(at) = at else { continue };
            let text = at.value.as_str().trim();
            if text.is_empty() || text.len() > 100 || text.chars().any(char::is_control) {
                let why = "want 1 to 100 bytes without control characters";
                reader.problems.error(&at.span, &at.key, why, None);
            } else {
                text.clone_into(place);
            }
        }
        if let Some(scopes) = text(&raw.scopes) {
            let words = scopes.split(',').map(str::trim).filter(|w| !w.is_empty());
            out.scopes = words.map(str::to_owned).collect();
        }
        if let Some(at) = &raw.groups {
            match groups(at.value.as_str()) {
                Ok(groups) => out.groups = groups,
                Err(item) => reader.problems.error(
                    &at.span,
                    &at.key,
                    format!("`groups`: {item:?} cannot be read"),
                    Some(
                        "write GROUP = ROLE or GROUP = ROLE: CAMERA, CAMERA, separated by semicolons; roles are \
                         admin, operator and viewer"
                            .into(),
                    ),
                ),
            }
        }
        Some(out)
    }
}

/// Its secrets would cross the network in clear without TLS.
fn is_issuer(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else {
        return false;
    };
    let near = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    let safe = url.scheme() == "https" || (url.scheme() == "http" && near);
    let plain = url.query().is_none() && url.fragment().is_none();
    safe && plain && url.username().is_empty() && url.password().is_none()
}

/// The groups of a text; the first item that cannot be read.
fn groups(text: &str) -> Result<Vec<OidcGroup>, String> {
    let items: Vec<&str> = text.split(';').map(str::trim).filter(|i| !i.is_empty()).collect();
    if items.is_empty() {
        return Err(text.to_owned());
    }
    items
        .into_iter()
        .map(|item| group(item).ok_or_else(|| item.to_owned()))
        .collect()
}

/// Names of groups may hold `=`, as those of directories do.
fn group(item: &str) -> Option<OidcGroup> {
    let (name, rest) = item.rsplit_once('=')?;
    let (role, cameras) = match rest.split_once(':') {
        Some((role, cameras)) => (role, Some(cameras)),
        None => (rest, None),
    };
    let role = match role.trim() {
        "viewer" => GroupRole::Viewer,
        "operator" => GroupRole::Operator,
        "admin" => GroupRole::Admin,
        _ => return None,
    };
    let ids = |list: &str| -> Option<Vec<CameraId>> {
        list.split(',').map(|id| CameraId::new(id.trim()).ok()).collect()
    };
    let cameras = match cameras {
        Some(list) => Some(ids(list)?),
        None => None,
    };
    let name = name.trim().to_owned();
    (!name.is_empty()).then_some(OidcGroup { name, role, cameras })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_in_order() {
        let read =
            groups("nvr-admins = admin; cn=family,dc=home = operator: front, yard ;guests=viewer").unwrap();
        let names: Vec<_> = read.iter().map(|g| (g.name.as_str(), g.role)).collect();
        assert_eq!(
            names,
            [
                ("nvr-admins", GroupRole::Admin),
                ("cn=family,dc=home", GroupRole::Operator),
                ("guests", GroupRole::Viewer)
            ]
        );
        let cameras: Vec<_> = read[1].cameras.iter().flatten().map(CameraId::as_str).collect();
        assert_eq!(cameras, ["front", "yard"]);
        let mut config = OidcConfig::new("https://sso.example.org", "nvr");
        config.groups = read;
        let of = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
            config.group_of(&groups).map(|g| g.name.as_str())
        };
        assert_eq!(of(&["guests", "nvr-admins"]), Some("nvr-admins"));
        assert_eq!(of(&["others", "guests"]), Some("guests"));
        assert_eq!(of(&["others"]), None);
        assert_eq!(of(&[]), None);
        for bad in [
            "",
            " ; ",
            "admins",
            "admins = root",
            "a = viewer: Front",
            "= admin",
            "a = viewer:",
        ] {
            assert!(groups(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn issuers_speak_tls() {
        for good in [
            "https://sso.example.org/realms/home",
            "http://127.0.0.1:8000",
            "http://[::1]/",
            "http://localhost:9/x",
        ] {
            assert!(is_issuer(good), "{good}");
        }
        for bad in [
            "http://sso.example.org",
            "sso.example.org",
            "https://a:b@sso.example.org",
            "https://sso.example.org/?x",
            "file:///x",
        ] {
            assert!(!is_issuer(bad), "{bad}");
        }
    }
}
