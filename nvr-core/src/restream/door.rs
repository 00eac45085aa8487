//! Who gets which stream: accounts and tokens as over HTTP, and a camera that sends something.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use super::serve::{self, Watcher};
use super::{Around, Inner, StreamPath};
use crate::accounts::{Action, Deed, Denied, Identity, Permission};
use crate::camera::Camera;
use crate::config::Auth;
use crate::gst::{AccessUnit, Door, Opened, Peer, Refusal, UnitTrack, Who};
use crate::live::{Live, Start, start_of};
use crate::secret::Secret;
use crate::time::duration_ns;

/// Frames and packets that wait for a slow client before groups of pictures are left out: about 6 s.
const CAPACITY: usize = 400;
/// How long a camera may take that is connected only now.
const FIRST_FRAME: Duration = Duration::from_secs(12);
/// How much longer is waited for sound that is known to be there.
const SOUND: Duration = Duration::from_millis(700);
/// What tokens begin with, and how long they are.
const TOKEN: (&str, usize) = ("nvr_", 68);

pub(super) struct Gate {
    auth: Auth,
    around: Arc<Around>,
    inner: Weak<Inner>,
    runtime: Handle,
}

impl Gate {
    /// Called in a runtime, which does the waiting of others.
    pub(super) fn new(auth: Auth, around: Around, inner: &Arc<Inner>) -> Arc<Self> {
        Arc::new(Self {
            auth,
            around: Arc::new(around),
            inner: Arc::downgrade(inner),
            runtime: Handle::current(),
        })
    }

    async fn identity(&self, login: Option<(&str, Secret)>, peer: Peer) -> Result<Identity, Refusal> {
        if self.auth == Auth::None {
            return Ok(Identity::open());
        }
        let (name, password) = login.ok_or(Refusal::Unauthorized)?;
        let accounts = &self.around.accounts;
        let unknown = |e: crate::Error| {
            tracing::error!(error = %e, "who asks over RTSP cannot be found out");
            Refusal::Unavailable
        };
        let text = password.expose();
        if text.len() == TOKEN.1 && text.starts_with(TOKEN.0) {
            let found = accounts.by_token(text).await.map_err(unknown)?;
            return found.ok_or(Refusal::Unauthorized);
        }
        if !peer.secure && !peer.address.is_loopback() {
            tracing::info!(peer = %peer.address, "a password over RTSP without TLS is not taken: use a token");
            return Err(Refusal::Forbidden);
        }
        match accounts.by_password(name, password, peer.address).await {
            Ok(who) => Ok(who),
            Err(Denied::Wrong) => {
                // Without the name: it may be a password that was typed into the wrong field.
                accounts.note(Deed {
                    user: None,
                    address: Some(peer.address),
                    action: Action::LoginFailed,
                    camera: None,
                    detail: "RTSP".into(),
                });
                Err(Refusal::Unauthorized)
            }
            Err(Denied::Later(_)) => Err(Refusal::Unavailable),
            Err(Denied::Fault(e)) => Err(unknown(e)),
        }
    }

    fn camera(&self, who: &Identity, path: &str) -> Result<(StreamPath, Camera), Refusal> {
        let path = StreamPath::parse(path).ok_or(Refusal::NotFound)?;
        if !who.may(Permission::Look) {
            return Err(Refusal::Forbidden);
        }
        // Of others' cameras nothing is told, not even that there are any.
        let camera = (self.around.camera)(&path.camera).filter(|_| who.sees(&path.camera));
        Ok((path, camera.ok_or(Refusal::NotFound)?))
    }

    async fn opened(&self, who: &Identity, path: &str, peer: Peer) -> Result<Opened, Refusal> {
        let (path, camera) = self.camera(who, path)?;
        let inner = self.inner.upgrade().ok_or(Refusal::Unavailable)?;
        if !camera.config().enabled {
            return Err(Refusal::Unavailable);
        }
        let clock = self.around.clock.clone();
        let stream = camera.stream(path.stream);
        let viewer = camera.watch(stream, CAPACITY);
        let begun = async {
            let start = start_of(viewer, true, &*clock).await?;
            Some(with_sound(start, &*clock).await)
        };
        let start = tokio::select! {
            start = begun => start,
            () = clock.sleep(FIRST_FRAME) => None,
            () = inner.stop.cancelled() => None,
        };
        let start = start.flatten().ok_or(Refusal::Unavailable)?;
        let first = start.held.first().cloned().ok_or(Refusal::Unavailable)?;
        let newest = start.held.iter().filter(|u| u.track() == UnitTrack::Video);
        let age_ns = newest.map(AccessUnit::dts_ns).max().unwrap_or_default() - first.dts_ns();
        let watcher = Watcher {
            around: Arc::clone(&self.around),
            inner: Arc::downgrade(&inner),
            who: who.clone(),
            path: StreamPath {
                camera: path.camera.clone(),
                stream,
            },
            peer: peer.address,
            ask_again: self.auth == Auth::Accounts,
        };
        let (runtime, tasks) = (self.runtime.clone(), inner.tasks.clone());
        let audio = start.audio.clone();
        Ok(Opened {
            first,
            audio,
            age_ns,
            begin: Box::new(move |feed| {
                tasks.spawn_on(serve::serve(watcher, start, feed), &runtime);
            }),
        })
    }
}

/// What is described to a client must come: sound that was heard of once but is silent now is left out.
async fn with_sound(mut start: Start, clock: &dyn crate::clock::Clock) -> Option<Start> {
    let has_sound = |held: &[AccessUnit]| held.iter().any(|u| u.track() == UnitTrack::Audio);
    let until = clock.steady_ns().saturating_add(duration_ns(SOUND));
    while start.audio.is_some() && !has_sound(&start.held) {
        let left = u64::try_from(until - clock.steady_ns()).unwrap_or(0);
        if left == 0 {
            start.audio = None;
            break;
        }
        tokio::select! {
            live = start.viewer.next() => match live? {
                Live::Frame(unit) => start.held.push(unit),
                // What was held cannot be continued.
                Live::Begin | Live::Lost(_) => return None,
            },
            () = clock.sleep(Duration::from_nanos(left)) => {}
        }
    }
    // What its packets are like is told by one that comes.
    if let Some(unit) = start.held.iter().find(|u| u.track() == UnitTrack::Audio) {
        start.audio = start.audio.map(|_| unit.clone());
    }
    Some(start)
}

fn identity_of(who: &Who) -> Result<&Identity, Refusal> {
    who.downcast_ref::<Identity>().ok_or(Refusal::Unauthorized)
}

impl Door for Gate {
    fn admit(&self, login: Option<(&str, Secret)>, peer: Peer) -> Result<Who, Refusal> {
        let who = self.runtime.block_on(self.identity(login, peer))?;
        Ok(Arc::new(who))
    }

    fn may(&self, who: &Who, path: &str) -> Result<(), Refusal> {
        self.camera(identity_of(who)?, path).map(drop)
    }

    fn open(&self, who: &Who, path: &str, peer: Peer) -> Result<Opened, Refusal> {
        let who = identity_of(who)?;
        self.runtime.block_on(self.opened(who, path, peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Accounts;
    use crate::clock::SystemClock;

    #[test]
    fn tokens_are_known_by_their_look() {
        let token = format!("{}{}", TOKEN.0, "0".repeat(64));
        assert_eq!(token.len(), TOKEN.1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn passwords_do_not_cross_the_network_in_clear() {
        let dir = tempfile::tempdir().unwrap();
        let clock = SystemClock::shared();
        let around = Around {
            clock: clock.clone(),
            accounts: Accounts::new(dir.path().join("a.db"), clock),
            camera: Box::new(|_| None),
        };
        let gate = Gate {
            auth: Auth::Accounts,
            around: Arc::new(around),
            inner: Weak::new(),
            runtime: Handle::current(),
        };
        let from = |address: [u8; 4], secure| Peer {
            address: address.into(),
            secure,
        };
        let ask = |login: Option<&'static str>, peer| {
            let gate = &gate;
            async move {
                let login = login.map(|password| ("anna", Secret::new(password)));
                gate.identity(login, peer).await.unwrap_err()
            }
        };
        assert_eq!(ask(None, from([10, 0, 0, 9], false)).await, Refusal::Unauthorized);
        assert_eq!(
            ask(Some("x"), from([10, 0, 0, 9], false)).await,
            Refusal::Forbidden
        );
        assert_eq!(
            ask(Some("x"), from([10, 0, 0, 9], true)).await,
            Refusal::Unauthorized
        );
        assert_eq!(
            ask(Some("x"), from([127, 0, 0, 1], false)).await,
            Refusal::Unauthorized
        );
    }
}
