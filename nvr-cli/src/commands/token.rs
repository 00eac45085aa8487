//! `nvr token`: tokens of programs that ask the recorder.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use nvr_core::CameraId;
use nvr_core::accounts::{Action, Permission, Scopes, TokenInfo, TokenWish, UserName};
use nvr_core::config::parse_duration;
use serde::Serialize;

use super::user::{accounts, ids, note, set};
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{Output, table};
use crate::{config, logging, times};

#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// List the tokens; what opens the door is not kept and cannot be shown.
    List,
    /// Make a token and print it, this once.
    Add(AddArgs),
    /// Remove a token; it is worth nothing from then on.
    Remove {
        /// Its number in the list.
        id: i64,
    },
}

#[derive(Args, Debug)]
pub struct AddArgs {
    /// What it is called in the list.
    label: String,
    /// What it is for; may be given several times.
    #[arg(long = "scope", value_enum, default_value = "read")]
    scopes: Vec<ScopeArg>,
    /// A user: the token ends with him and never does more than he may. Without, it is the machine's own.
    #[arg(long, value_name = "NAME")]
    user: Option<UserName>,
    /// Only this camera; may be given several times.
    #[arg(long = "camera", value_name = "ID")]
    cameras: Vec<CameraId>,
    /// How long it is good ("12h", "30d"); for ever if not given.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Option<Duration>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|d| !d.is_zero())
        .ok_or_else(|| "want a time such as 12h or 30d".into())
}

#[derive(Clone, Copy, ValueEnum, Debug)]
pub enum ScopeArg {
    /// Look and play.
    Read,
    /// Record, start, stop, protect, jobs.
    Control,
    /// Save and share footage.
    Export,
    /// Tell of what is seen.
    Events,
    /// Everything.
    Admin,
}

#[derive(Serialize)]
struct TokenView {
    id: i64,
    user: Option<String>,
    label: String,
    scopes: Vec<&'static str>,
    cameras: Option<Vec<String>>,
    created: String,
    expires: Option<String>,
    last_used: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl From<&TokenInfo> for TokenView {
    fn from(t: &TokenInfo) -> Self {
        Self {
            id: t.id,
            user: t.user.as_ref().map(ToString::to_string),
            label: t.label.clone(),
            scopes: t.scopes.iter().map(Permission::scope).collect(),
            cameras: ids(&t.cameras),
            created: t.created.to_string(),
            expires: t.expires.map(|e| e.to_string()),
            last_used: t.last_used.map(|e| e.to_string()),
            token: None,
        }
    }
}

pub async fn run(global: &Global, command: TokenCommand, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let accounts = accounts(global).await?;
    match command {
        TokenCommand::List => {
            let tokens = accounts.tokens(None).await?;
            let views: Vec<TokenView> = tokens.iter().map(TokenView::from).collect();
            let zone = times::zone(&config::load(global)?.recorder.time_zone);
            output.result(&views, || {
                if tokens.is_empty() {
                    return "no tokens".into();
                }
                let time = |t: Option<nvr_core::Timestamp>| {
                    t.map_or_else(|| "never".into(), |t| times::show(t, &zone))
                };
                let rows = tokens.iter().zip(&views).map(|(t, v)| {
                    vec![
                        t.id.to_string(),
                        t.label.clone(),
                        v.user.clone().unwrap_or_else(|| "machine".into()),
                        v.scopes.join(", "),
                        v.cameras.as_ref().map_or_else(|| "all".into(), |c| c.join(", ")),
                        time(t.expires),
                        time(t.last_used),
                    ]
                });
                table(
                    &["token", "label", "of", "for", "cameras", "ends", "last used"],
                    &[0],
                    rows,
                )
            })
        }
        TokenCommand::Add(args) => {
            let scopes = args.scopes.iter().fold(Scopes::default(), |all, s| {
                all.with(match s {
                    ScopeArg::Read => Permission::Look,
                    ScopeArg::Control => Permission::Control,
                    ScopeArg::Export => Permission::Export,
                    ScopeArg::Events => Permission::Tell,
                    ScopeArg::Admin => Permission::Admin,
                })
            });
            let wish = TokenWish {
                label: args.label,
                scopes,
                cameras: set(args.cameras),
                expires: args.expires,
            };
            let who = match &args.user {
                Some(name) => Some(accounts.identity_of(name).await?),
                None => None,
            };
            let (info, token) = accounts.add_token(who.as_ref(), wish).await?;
            note(
                &accounts,
                Action::Token,
                format!("made token {} {:?}", info.id, info.label),
            )
            .await?;
            let mut view = TokenView::from(&info);
            view.token = Some(token.expose().to_owned());
            output.result(&view, || token.expose().to_owned())
        }
        TokenCommand::Remove { id } => {
            accounts.remove_token(id, None).await?;
            note(&accounts, Action::Token, format!("removed token {id}")).await?;
            output.result(&serde_json::json!({"removed": id}), || {
                format!("token {id} is worth nothing any more")
            })
        }
    }
}
