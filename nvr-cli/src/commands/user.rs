//! `nvr user`: who may ask the recorder. Passwords come from the terminal or the standard input, never from the command
//! line, which other users of the machine can read.

use std::io::{BufRead as _, IsTerminal as _};

use clap::{Args, Subcommand, ValueEnum};
use nvr_core::CameraId;
use nvr_core::accounts::{
    Accounts, Action, CameraSet, Deed, NewAccount, Role, UserInfo, UserName, UserPatch,
};
use nvr_core::clock::SystemClock;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::secret::Secret;
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Failure;
use crate::output::{Output, table};
use crate::{client, config, logging, times};

#[derive(Subcommand, Debug)]
pub enum UserCommand {
    /// List the users.
    List,
    /// Make a user; the password is asked for, or read from the standard input.
    Add(AddArgs),
    /// Give a user another password; all his logins end.
    Passwd {
        /// Name.
        name: UserName,
    },
    /// Remove a user with his logins, tokens and shares.
    Remove {
        /// Name.
        name: UserName,
    },
}

#[derive(Args, Debug)]
pub struct AddArgs {
    /// Name: 1 to 64 of a-z, 0-9, '.', '_', '@' and '-'.
    name: UserName,
    /// What the user may do.
    #[arg(long, value_enum, default_value = "viewer")]
    role: RoleArg,
    /// Only this camera; may be given several times. All if not given.
    #[arg(long = "camera", value_name = "ID")]
    cameras: Vec<CameraId>,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
pub enum RoleArg {
    /// Everything.
    Admin,
    /// Look, record, export, protect, jobs.
    Operator,
    /// Look and play.
    Viewer,
}

#[derive(Serialize)]
struct UserView {
    name: String,
    role: &'static str,
    cameras: Option<Vec<String>>,
    created: String,
    last_login: Option<String>,
}

impl From<&UserInfo> for UserView {
    fn from(u: &UserInfo) -> Self {
        Self {
            name: u.name.to_string(),
            role: u.role.as_str(),
            cameras: ids(&u.cameras),
            created: u.created.to_string(),
            last_login: u.last_login.map(|t| t.to_string()),
        }
    }
}

/// Ids of a set; `None` for all.
pub fn ids(set: &CameraSet) -> Option<Vec<String>> {
    set.ids().map(|ids| ids.map(ToString::to_string).collect())
}

/// The cameras that were named; all if none was.
pub fn set(cameras: Vec<CameraId>) -> CameraSet {
    if cameras.is_empty() {
        CameraSet::all()
    } else {
        CameraSet::only(cameras)
    }
}

/// The accounts of the configured recorder, whether it runs or not.
///
/// # Errors
/// `Storage` or `NotFound` when its folder is not there, or was never used.
pub async fn accounts(global: &Global) -> Result<Accounts, Failure> {
    let config = config::load(global)?;
    client::blocking(move || Accounts::of(&config, SystemClock::shared())).await
}

/// What is noted of what is done here.
pub async fn note(accounts: &Accounts, action: Action, detail: String) -> Result<(), Failure> {
    let deed = Deed {
        user: Some("command line".into()),
        address: None,
        action,
        camera: None,
        detail,
    };
    Ok(accounts.record(deed).await?)
}

pub async fn run(global: &Global, command: UserCommand, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let accounts = accounts(global).await?;
    match command {
        UserCommand::List => {
            let users = accounts.users().await?;
            let views: Vec<UserView> = users.iter().map(UserView::from).collect();
            let zone = times::zone(&config::load(global)?.recorder.time_zone);
            output.result(&views, || {
                if users.is_empty() {
                    return "no users yet; `nvr run` prints a link to make the first, or use `nvr user add`"
                        .into();
                }
                let rows = users.iter().map(|u| {
                    let cameras = ids(&u.cameras).map_or_else(|| "all".into(), |c| c.join(", "));
                    let last = u
                        .last_login
                        .map_or_else(|| "never".into(), |t| times::show(t, &zone));
                    vec![u.name.to_string(), u.role.as_str().into(), cameras, last]
                });
                table(&["user", "role", "cameras", "last login"], &[], rows)
            })
        }
        UserCommand::Add(args) => {
            let role = match args.role {
                RoleArg::Admin => Role::Admin,
                RoleArg::Operator => Role::Operator,
                RoleArg::Viewer => Role::Viewer,
            };
            let new = NewAccount {
                name: args.name,
                password: password(&output)?,
                role,
                cameras: set(args.cameras),
            };
            let made = accounts.add_user(new).await?;
            let detail = format!("made {} as {}", made.name, made.role.as_str());
            note(&accounts, Action::User, detail).await?;
            output.result(&UserView::from(&made), || {
                format!("{} may log in as {}", made.name, role.as_str())
            })
        }
        UserCommand::Passwd { name } => {
            accounts.user(&name).await?;
            let patch = UserPatch {
                password: Some(password(&output)?),
                ..UserPatch::default()
            };
            let changed = accounts.change_user(&name, patch).await?;
            note(&accounts, Action::User, format!("changed password of {name}")).await?;
            output.result(&UserView::from(&changed), || {
                format!("{name} has a new password and is logged out everywhere")
            })
        }
        UserCommand::Remove { name } => {
            accounts.remove_user(&name).await?;
            note(&accounts, Action::User, format!("removed {name}")).await?;
            output.result(&serde_json::json!({"removed": name}), || {
                format!("{name} is gone")
            })
        }
    }
}

/// Asks for a password twice, or reads the first line of what is not a terminal.
fn password(output: &Output) -> Result<Secret, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let mut line = String::new();
        stdin.lock().read_line(&mut line)?;
        let text = line.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "there is no password on the standard input",
            )
            .into());
        }
        return Ok(Secret::new(text));
    }
    output.note("8 characters at least; it is not shown");
    let first = rpassword::prompt_password("Password: ")?;
    let second = rpassword::prompt_password("Once more: ")?;
    if first == second {
        return Ok(Secret::new(first));
    }
    Err(Error::new(ErrorKind::InvalidArgument, "the two passwords differ").into())
}
