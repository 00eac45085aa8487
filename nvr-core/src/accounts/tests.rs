//! The accounts with a clock to turn.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::Clock as _;
use crate::secret::Secret;
use crate::testing::ManualClock;
use crate::{CameraId, TimeRange};

const PASSWORD: &str = "correct horse battery";
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

struct Rig {
    clock: ManualClock,
    accounts: Accounts,
    dir: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new("2026-05-04T03:00:00Z".parse().unwrap());
        let accounts = Accounts::new(dir.path().join("nvr.accounts.db"), Arc::new(clock.clone()));
        Self { clock, accounts, dir }
    }

    async fn with_admin() -> Self {
        let rig = Self::new();
        rig.add("root", Role::Admin, CameraSet::all()).await;
        rig
    }

    async fn add(&self, name: &str, role: Role, cameras: CameraSet) -> UserInfo {
        let new = NewAccount {
            name: name.parse().unwrap(),
            password: Secret::new(PASSWORD),
            role,
            cameras,
        };
        self.accounts.add_user(new).await.unwrap()
    }

    async fn login(&self, name: &str, password: &str, from: IpAddr) -> Result<Login, Denied> {
        let password = Secret::new(password);
        self.accounts.login(name, password, false, from, None).await
    }

    fn wait(&self, time: Duration) {
        self.clock.advance(time);
    }
}

fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

fn cameras(ids: &[&str]) -> CameraSet {
    CameraSet::only(ids.iter().map(|id| CameraId::new(id).unwrap()))
}

#[tokio::test]
async fn wrong_passwords_lock_out_for_a_while_whether_or_not_there_is_the_user() {
    let rig = Rig::with_admin().await;
    for name in ["root", "nobody"] {
        for _ in 0..5 {
            assert!(matches!(
                rig.login(name, "wrong wrong", HOME).await,
                Err(Denied::Wrong)
            ));
        }
        // Not even the right one is looked at now.
        let Err(Denied::Later(wait)) = rig.login(name, PASSWORD, HOME).await else {
            panic!("{name} is let in");
        };
        assert_eq!(wait, Duration::from_secs(1));
    }
    let until = rig.accounts.users().await.unwrap()[0].locked_until;
    assert_eq!(until, Some(rig.clock.now() + Duration::from_secs(1)));
    // From elsewhere the user gets in, which does not help who guesses.
    rig.login("root", PASSWORD, AWAY).await.unwrap();
    assert!(matches!(
        rig.login("root", PASSWORD, HOME).await,
        Err(Denied::Later(_))
    ));
    rig.wait(Duration::from_secs(1));
    rig.login("ROOT", PASSWORD, HOME).await.unwrap();
    assert_eq!(rig.accounts.users().await.unwrap()[0].locked_until, None);
}

#[tokio::test]
async fn logins_end_when_unused_and_in_any_case() {
    let rig = Rig::with_admin().await;
    let login = rig.login("root", PASSWORD, HOME).await.unwrap();
    let token = login.token.expose();
    assert!(rig.accounts.by_session(token).await.unwrap().is_some());
    rig.wait(hours(12));
    assert!(rig.accounts.by_session(token).await.unwrap().is_none());
    // Used now and then it lasts for a week.
    let login = rig.login("root", PASSWORD, HOME).await.unwrap();
    let token = login.token.expose();
    for _ in 0..15 {
        rig.wait(hours(11));
        assert!(rig.accounts.by_session(token).await.unwrap().is_some());
        let row = TokenHash::of(token);
        let now = rig.clock.now();
        rig.accounts
            .store(move |s| s.note(&[], &[(row, now)], &[]))
            .await
            .unwrap();
    }
    rig.wait(hours(3));
    assert!(rig.accounts.by_session(token).await.unwrap().is_none());
    let remembered = rig
        .accounts
        .login("root", Secret::new(PASSWORD), true, HOME, None)
        .await
        .unwrap();
    rig.wait(hours(24 * 29));
    let token = remembered.token.expose();
    assert!(rig.accounts.by_session(token).await.unwrap().is_some());
    rig.wait(hours(24));
    assert!(rig.accounts.by_session(token).await.unwrap().is_none());
}

#[tokio::test]
async fn tokens_and_shares_end() {
    let rig = Rig::with_admin().await;
    let root = rig.accounts.identity_of(&"root".parse().unwrap()).await.unwrap();
    let wish = TokenWish {
        label: "panel".into(),
        scopes: Scopes::default().with(Permission::Look),
        cameras: cameras(&["front"]),
        expires: Some(hours(1)),
    };
    let (_, token) = rig.accounts.add_token(Some(&root), wish).await.unwrap();
    let who = rig.accounts.by_token(token.expose()).await.unwrap().unwrap();
    assert!(who.may(Permission::Look) && !who.may(Permission::Control) && !who.may(Permission::Admin));
    assert!(who.sees(&CameraId::new("front").unwrap()) && !who.sees(&CameraId::new("yard").unwrap()));
    let passing = rig.accounts.passing_token_blocking(hours(1)).unwrap();
    assert!(rig.accounts.by_token(passing.expose()).await.unwrap().is_some());
    assert_eq!(rig.accounts.tokens(None).await.unwrap().len(), 1);
    let now = rig.clock.now();
    let range = TimeRange::new(now - hours(2), now).unwrap();
    let front = CameraId::new("front").unwrap();
    let long = TimeRange::new(now - hours(25), now).unwrap();
    assert!(
        rig.accounts
            .add_share(&root, front.clone(), long, hours(1))
            .await
            .is_err()
    );
    let (info, share) = rig
        .accounts
        .add_share(&root, front, range, hours(1))
        .await
        .unwrap();
    let open = rig.accounts.by_share(share.expose()).await.unwrap().unwrap();
    assert_eq!((open.id, open.range), (info.id, range));
    rig.wait(hours(1));
    assert!(rig.accounts.by_token(token.expose()).await.unwrap().is_none());
    assert!(rig.accounts.by_token(passing.expose()).await.unwrap().is_none());
    assert!(rig.accounts.by_share(share.expose()).await.unwrap().is_none());
    assert!(rig.accounts.shares(&root).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_token_that_a_token_made_is_for_no_more_cameras() {
    let rig = Rig::with_admin().await;
    let root = rig.accounts.identity_of(&"root".parse().unwrap()).await.unwrap();
    let wish = |set| TokenWish {
        label: "panel".into(),
        scopes: Scopes::all(),
        cameras: set,
        expires: None,
    };
    for maker in [Some(&root), None] {
        let (_, first) = rig
            .accounts
            .add_token(maker, wish(cameras(&["front"])))
            .await
            .unwrap();
        let first = rig.accounts.by_token(first.expose()).await.unwrap().unwrap();
        let (_, second) = rig
            .accounts
            .add_token(Some(&first), wish(CameraSet::all()))
            .await
            .unwrap();
        let second = rig.accounts.by_token(second.expose()).await.unwrap().unwrap();
        assert_eq!(second.cameras, cameras(&["front"]), "{maker:?}");
    }
}

#[tokio::test]
async fn a_share_ends_with_the_right_of_who_made_it() {
    let rig = Rig::with_admin().await;
    rig.add("otto", Role::Operator, cameras(&["front"])).await;
    let otto: UserName = "otto".parse().unwrap();
    let who = rig.accounts.identity_of(&otto).await.unwrap();
    let now = rig.clock.now();
    let range = TimeRange::new(now - hours(1), now).unwrap();
    let front = CameraId::new("front").unwrap();
    let (_, share) = rig
        .accounts
        .add_share(&who, front, range, hours(5))
        .await
        .unwrap();
    let good = || async { rig.accounts.by_share(share.expose()).await.unwrap().is_some() };
    assert!(good().await);
    let patch = |role, set| UserPatch {
        role,
        cameras: set,
        password: None,
    };
    rig.accounts
        .change_user(&otto, patch(None, Some(cameras(&["yard"]))))
        .await
        .unwrap();
    assert!(!good().await);
    rig.accounts
        .change_user(&otto, patch(None, Some(CameraSet::all())))
        .await
        .unwrap();
    assert!(good().await);
    rig.accounts
        .change_user(&otto, patch(Some(Role::Viewer), None))
        .await
        .unwrap();
    assert!(!good().await);
    rig.accounts.remove_user(&otto).await.unwrap();
    assert!(!good().await);
}

#[tokio::test]
async fn somebody_can_always_manage_users() {
    let rig = Rig::new();
    let new = NewAccount {
        name: "vera".parse().unwrap(),
        password: Secret::new(PASSWORD),
        role: Role::Viewer,
        cameras: CameraSet::all(),
    };
    assert_eq!(
        rig.accounts.add_user(new).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert!(rig.accounts.users().await.unwrap().is_empty());
    rig.add("root", Role::Admin, CameraSet::all()).await;
    let root: UserName = "root".parse().unwrap();
    for patch in [
        UserPatch {
            role: Some(Role::Operator),
            ..UserPatch::default()
        },
        UserPatch {
            cameras: Some(cameras(&["front"])),
            ..UserPatch::default()
        },
    ] {
        let e = rig.accounts.change_user(&root, patch).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Conflict);
    }
    assert_eq!(
        rig.accounts.remove_user(&root).await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    rig.add("second", Role::Admin, CameraSet::all()).await;
    rig.accounts.remove_user(&root).await.unwrap();
}

#[tokio::test]
async fn the_link_for_the_first_account_ends() {
    let rig = Rig::new();
    let token = rig.accounts.begin_setup(hours(1)).await.unwrap().unwrap();
    rig.wait(hours(1));
    let made = rig
        .accounts
        .setup(token.expose(), "root", Secret::new(PASSWORD), HOME)
        .await;
    assert!(matches!(made, Err(Denied::Wrong)));
    let token = rig.accounts.begin_setup(hours(1)).await.unwrap().unwrap();
    // An account that was made at the machine meanwhile ends it, too.
    rig.add("root", Role::Admin, CameraSet::all()).await;
    let made = rig
        .accounts
        .setup(token.expose(), "evil", Secret::new(PASSWORD), HOME)
        .await;
    assert!(matches!(made, Err(Denied::Wrong)));
    assert!(rig.accounts.begin_setup(hours(1)).await.unwrap().is_none());
}

#[tokio::test]
async fn two_processes_see_what_the_other_does_at_once() {
    let rig = Rig::with_admin().await;
    let login = rig.login("root", PASSWORD, HOME).await.unwrap();
    let other = Accounts::new(rig.accounts.path(), Arc::new(rig.clock.clone()));
    assert!(other.by_session(login.token.expose()).await.unwrap().is_some());
    let patch = UserPatch {
        password: Some(Secret::new("quite another one")),
        ..UserPatch::default()
    };
    other.change_user(&"root".parse().unwrap(), patch).await.unwrap();
    assert!(
        rig.accounts
            .by_session(login.token.expose())
            .await
            .unwrap()
            .is_none()
    );
    assert!(matches!(
        rig.login("root", PASSWORD, AWAY).await,
        Err(Denied::Wrong)
    ));
    rig.login("root", "quite another one", AWAY).await.unwrap();
}

#[tokio::test]
async fn a_password_set_by_another_process_ends_the_wait() {
    let rig = Rig::with_admin().await;
    let root: UserName = "root".parse().unwrap();
    while !matches!(rig.login("root", "wrong", HOME).await, Err(Denied::Later(_))) {}
    assert!(matches!(
        rig.login("root", PASSWORD, HOME).await,
        Err(Denied::Later(_))
    ));
    let other = Accounts::new(rig.accounts.path(), Arc::new(rig.clock.clone()));
    let patch = |password: &str| UserPatch {
        password: Some(Secret::new(password)),
        ..UserPatch::default()
    };
    // Only a password does so.
    let role = UserPatch {
        role: Some(Role::Admin),
        ..UserPatch::default()
    };
    other.change_user(&root, role).await.unwrap();
    assert!(matches!(
        rig.login("root", PASSWORD, HOME).await,
        Err(Denied::Later(_))
    ));
    other
        .change_user(&root, patch("quite another one"))
        .await
        .unwrap();
    rig.login("root", "quite another one", HOME).await.unwrap();
    // Wrong ones cost time as before.
    while !matches!(rig.login("root", "wrong", HOME).await, Err(Denied::Later(_))) {}
    assert!(matches!(
        rig.login("root", "quite another one", HOME).await,
        Err(Denied::Later(_))
    ));
}

#[tokio::test]
async fn a_token_made_with_a_token_does_not_outlive_it() {
    let rig = Rig::with_admin().await;
    let root = rig.accounts.identity_of(&"root".parse().unwrap()).await.unwrap();
    let wish = |expires| TokenWish {
        label: "panel".into(),
        scopes: Scopes::all(),
        cameras: CameraSet::all(),
        expires,
    };
    let (first, token) = rig
        .accounts
        .add_token(Some(&root), wish(Some(hours(5))))
        .await
        .unwrap();
    let who = rig.accounts.by_token(token.expose()).await.unwrap().unwrap();
    for (asked, wanted) in [
        (None, first.expires),
        (Some(hours(9)), first.expires),
        (Some(hours(1)), Some(rig.clock.now() + hours(1))),
    ] {
        let (made, _) = rig.accounts.add_token(Some(&who), wish(asked)).await.unwrap();
        assert_eq!(made.expires, wanted, "{asked:?}");
    }
    let (_, endless) = rig.accounts.add_token(Some(&root), wish(None)).await.unwrap();
    let who = rig.accounts.by_token(endless.expose()).await.unwrap().unwrap();
    let (made, _) = rig.accounts.add_token(Some(&who), wish(None)).await.unwrap();
    assert_eq!(made.expires, None);
}

#[tokio::test]
async fn a_provider_says_at_each_login_who_somebody_is() {
    let rig = Rig::new();
    let external = |subject: &str, name: &str, role, set| External {
        issuer: "https://sso.example.org".into(),
        subject: subject.into(),
        name: name.parse().unwrap(),
        role,
        cameras: set,
    };
    // A viewer who comes first does not end the way to the first account.
    let vera = external("1", "vera", Role::Viewer, cameras(&["front"]));
    let first = rig.accounts.login_external(vera, None).await.unwrap();
    assert_eq!(first.identity.role, Role::Viewer);
    assert!(!rig.accounts.has_users().await.unwrap());
    let token = rig.accounts.begin_setup(hours(1)).await.unwrap().unwrap();
    rig.accounts
        .setup(token.expose(), "root", Secret::new(PASSWORD), HOME)
        .await
        .unwrap();
    // The same one, by another name and in another group: he is still the same user, and each of his sessions knows.
    let again = external("1", "vera.new", Role::Operator, CameraSet::all());
    let second = rig.accounts.login_external(again, None).await.unwrap();
    assert_eq!(second.identity.user, first.identity.user);
    let now = rig
        .accounts
        .by_session(first.token.expose())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((now.role, now.cameras.is_all()), (Role::Operator, true));
    assert!(second.remember.is_none());
    // He has no password.
    for password in ["", PASSWORD] {
        assert!(matches!(
            rig.login("vera", password, HOME).await,
            Err(Denied::Wrong)
        ));
    }
    // Nobody becomes a user whom the recorder knows otherwise, or another provider's.
    for (subject, name) in [("2", "root"), ("3", "vera")] {
        let who = external(subject, name, Role::Admin, CameraSet::all());
        let Err(Denied::Fault(e)) = rig.accounts.login_external(who, None).await else {
            panic!("{name} was taken over")
        };
        assert_eq!(e.kind(), ErrorKind::Conflict, "{e}");
    }
    let mut elsewhere = external("1", "otto", Role::Viewer, CameraSet::all());
    elsewhere.issuer = "https://other.example.org".into();
    let other = rig.accounts.login_external(elsewhere, None).await.unwrap();
    assert_ne!(other.identity.user, first.identity.user);
    // A login ends the session that the browser had.
    let vera = external("1", "vera", Role::Viewer, CameraSet::all());
    rig.accounts
        .login_external(vera, Some(second.token.expose()))
        .await
        .unwrap();
    assert!(
        rig.accounts
            .by_session(second.token.expose())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn no_secret_is_in_the_file_and_nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = Rig::with_admin().await;
    let login = rig.login("root", PASSWORD, HOME).await.unwrap();
    let wish = TokenWish {
        label: "panel".into(),
        scopes: Scopes::all(),
        cameras: CameraSet::all(),
        expires: None,
    };
    let (_, token) = rig.accounts.add_token(None, wish).await.unwrap();
    let mut all = Vec::new();
    for entry in std::fs::read_dir(rig.dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
        all.extend(std::fs::read(entry.path()).unwrap());
    }
    for secret in [PASSWORD, login.token.expose(), token.expose()] {
        let found = all.windows(secret.len()).any(|w| w == secret.as_bytes());
        assert!(!found, "a secret is in the file");
    }
    assert!(all.windows(10).any(|w| w == b"$argon2id$"));
}

#[tokio::test]
async fn a_password_that_was_right_is_known_until_it_changes() {
    let rig = Rig::with_admin().await;
    let ask = |password: &'static str| rig.accounts.by_password("root", Secret::new(password), HOME);
    ask(PASSWORD).await.unwrap();
    let who = ask(PASSWORD).await.unwrap();
    assert!(rig.accounts.again(&who).await.unwrap().is_some());
    let patch = UserPatch {
        password: Some(Secret::new("quite another one")),
        ..UserPatch::default()
    };
    rig.accounts
        .change_user(&"root".parse().unwrap(), patch)
        .await
        .unwrap();
    assert!(matches!(ask(PASSWORD).await, Err(Denied::Wrong)));
    // Nor does what goes on for long.
    assert!(rig.accounts.again(&who).await.unwrap().is_none());
    ask("quite another one").await.unwrap();
}

#[tokio::test]
async fn the_log_is_written_and_ends_with_its_age() {
    let rig = Rig::with_admin().await;
    let root = rig.accounts.identity_of(&"root".parse().unwrap()).await.unwrap();
    rig.accounts
        .note(Deed::of(&root, Some(HOME), Action::Delete, "one"));
    let stop = tokio_util::sync::CancellationToken::new();
    stop.cancel();
    // What waits is written before it ends.
    rig.accounts.work(hours(24), stop).await;
    let page = rig.accounts.audit(None, None, 10, None).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    assert_eq!(page.entries[0].user.as_deref(), Some("root"));
    rig.wait(hours(25));
    let (before, now) = (rig.clock.now() - hours(24), rig.clock.now());
    rig.accounts.store(move |s| s.forget(before, now)).await.unwrap();
    assert!(
        rig.accounts
            .audit(None, None, 10, None)
            .await
            .unwrap()
            .entries
            .is_empty()
    );
}
