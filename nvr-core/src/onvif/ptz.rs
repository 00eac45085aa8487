//! Pan, tilt and zoom (ONVIF PTZ Service).
//!
//! A camera that moves has to stop when nobody holds it any more, whatever happened to who did. So a move holds for a
//! moment only and is said again while it is wanted: the camera is told to stop by itself, and is told to stop when the
//! moment is over, since there are cameras that do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use url::Url;

use super::device::{Access, Device};
use super::soap::escape;
use super::streams::Profile;
use super::xml::{Node, plain};
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::time::duration_ns;

/// Shortest and longest time for which a move may be asked.
pub const HOLD: std::ops::RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(10);
/// Most presets that are listed.
const MAX_PRESETS: usize = 300;

/// Where to, or how fast: each from -1 to 1.
#[derive(Clone, Copy, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vector {
    /// To the right.
    pub pan: f64,
    /// Up.
    pub tilt: f64,
    /// Closer.
    pub zoom: f64,
}

impl Vector {
    fn check(self) -> Result<Self> {
        let all = [self.pan, self.tilt, self.zoom];
        if all.iter().all(|n| (-1.0..=1.0).contains(n)) {
            return Ok(self);
        }
        Err(Error::new(
            ErrorKind::InvalidArgument,
            "pan, tilt and zoom are numbers from -1 to 1",
        ))
    }

    fn turns(self) -> bool {
        self.pan != 0.0 || self.tilt != 0.0
    }
}

/// What a camera can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct PtzAbilities {
    /// Turns while it is held.
    pub turns: bool,
    /// Zooms while it is held.
    pub zooms: bool,
    /// Moves by a distance.
    pub relative: bool,
    /// Moves to a place.
    pub absolute: bool,
    /// Has a place to return to.
    pub home: bool,
    /// How many presets it keeps.
    pub max_presets: u32,
}

/// A place that the camera remembers.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Preset {
    /// The camera's own name of it, for requests.
    pub token: String,
    /// Its name for people.
    pub name: String,
}

/// The movement of a camera.
#[derive(Clone, Debug)]
pub struct Ptz(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    device: Arc<Device>,
    at: Url,
    profile: String,
    abilities: PtzAbilities,
    clock: SharedClock,
    /// One order at a time, so that a stop never overtakes the move before it.
    turn: Mutex<()>,
    /// Counts orders: a guard stops only what nobody ordered anew.
    orders: AtomicU64,
    /// Until when a movement of ours lasts, by the steady clock.
    moves_until_ns: AtomicI64,
}

impl Ptz {
    /// Reaches a camera and finds the profile that it is turned by: the one that is named, else the first with PTZ.
    ///
    /// # Errors
    /// As [`Device::connect`]; `Unsupported` when the camera cannot be turned.
    pub async fn connect(clock: &SharedClock, access: Access, profile: Option<&str>) -> Result<Self> {
        let device = Device::connect(clock, access).await?;
        let cannot = || {
            Error::new(
                ErrorKind::Unsupported,
                "the camera has no pan, tilt and zoom by ONVIF",
            )
        };
        let at = device.services.ptz.clone().ok_or_else(cannot)?;
        let profiles = device.profiles().await?;
        let chosen = match profile {
            Some(wanted) => profiles.iter().find(|p| p.token == wanted).ok_or_else(|| {
                let names: Vec<&str> = profiles.iter().map(|p| p.token.as_str()).collect();
                Error::new(ErrorKind::Config, format!("the camera has no profile {wanted:?}"))
                    .with_hint(format!("it has {}", plain(&names.join(", "))))
            })?,
            None => profiles.iter().find(|p| p.ptz).ok_or_else(cannot)?,
        };
        let abilities = abilities(&device, &at, chosen).await?;
        Ok(Self(Arc::new(Inner {
            profile: chosen.token.clone(),
            device,
            at,
            abilities,
            clock: clock.clone(),
            turn: Mutex::new(()),
            orders: AtomicU64::new(0),
            moves_until_ns: AtomicI64::new(i64::MIN),
        })))
    }

    /// What it can do.
    #[must_use]
    pub fn abilities(&self) -> PtzAbilities {
        self.0.abilities
    }

    /// Moves at a speed for so long, unless it is asked again or told to stop before. Whether a movement began with it:
    /// one that went on already goes on.
    ///
    /// # Errors
    /// `InvalidArgument` for a speed or time out of range, and what the camera answers.
    pub async fn move_for(&self, speed: Vector, hold: Duration) -> Result<bool> {
        let speed = speed.check()?;
        if !HOLD.contains(&hold) {
            return Err(
                Error::new(ErrorKind::InvalidArgument, "a move holds from 0.2 to 10 seconds")
                    .with_hint("ask again while it is wanted"),
            );
        }
        if speed == Vector::default() {
            return self.stop().await.map(|()| false);
        }
        self.can(
            (!speed.turns() || self.0.abilities.turns) && (speed.zoom == 0.0 || self.0.abilities.zooms),
            "move at a speed",
        )?;
        let order = self.0.orders.fetch_add(1, Ordering::SeqCst) + 1;
        let _one_at_a_time = self.0.turn.lock().await;
        if self.0.orders.load(Ordering::SeqCst) != order {
            return Ok(false);
        }
        // Armed before the camera is asked: who asks may be gone before it has answered.
        self.guard(order, hold);
        let until = self.0.clock.steady_ns().saturating_add(duration_ns(hold));
        let begun = self.0.moves_until_ns.swap(until, Ordering::SeqCst) < self.0.clock.steady_ns();
        let body = format!(
            "<tptz:ContinuousMove>{}<tptz:Velocity>{}</tptz:Velocity><tptz:Timeout>PT{:.1}S</tptz:Timeout></tptz:ContinuousMove>",
            self.profile(),
            self.vector(speed),
            // A little longer than our own stop, which ends it to the moment.
            hold.as_secs_f64() + 0.5
        );
        self.ask(&body).await?;
        Ok(begun)
    }

    /// Stops the camera when the moment is over and nothing was ordered since.
    fn guard(&self, order: u64, hold: Duration) {
        let ptz = self.clone();
        tokio::spawn(async move {
            ptz.0.clock.sleep(hold).await;
            if ptz.0.orders.load(Ordering::SeqCst) == order
                && let Err(e) = ptz.stop().await
            {
                tracing::warn!(address = %ptz.0.device.address(), error = %e, "a camera that was moved did not take the order to stop");
            }
        });
    }

    /// Stops whatever it does.
    ///
    /// # Errors
    /// What the camera answers.
    pub async fn stop(&self) -> Result<()> {
        self.0.orders.fetch_add(1, Ordering::SeqCst);
        self.0.moves_until_ns.store(i64::MIN, Ordering::SeqCst);
        let _one_at_a_time = self.0.turn.lock().await;
        let body = format!(
            "<tptz:Stop>{}<tptz:PanTilt>true</tptz:PanTilt><tptz:Zoom>true</tptz:Zoom></tptz:Stop>",
            self.profile()
        );
        self.ask(&body).await.map(drop)
    }

    /// Moves by a distance.
    ///
    /// # Errors
    /// `Unsupported` where the camera does not do that, `InvalidArgument` for a distance out of range.
    pub async fn move_by(&self, distance: Vector) -> Result<()> {
        let distance = distance.check()?;
        self.can(self.0.abilities.relative, "move by a distance")?;
        let body = format!(
            "<tptz:RelativeMove>{}<tptz:Translation>{}</tptz:Translation></tptz:RelativeMove>",
            self.profile(),
            self.vector(distance)
        );
        self.order(&body).await
    }

    /// Moves to a place; the zoom is from 0 to 1.
    ///
    /// # Errors
    /// As [`move_by`](Self::move_by).
    pub async fn move_to(&self, place: Vector) -> Result<()> {
        let place = place.check()?;
        self.can(self.0.abilities.absolute, "move to a place")?;
        if place.zoom < 0.0 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the zoom of a place is a number from 0 to 1",
            ));
        }
        // Zero is a place here, so nothing is left out.
        let zoom = if self.0.abilities.zooms {
            format!("<tt:Zoom x=\"{}\"/>", place.zoom)
        } else {
            String::new()
        };
        let body = format!(
            "<tptz:AbsoluteMove>{}<tptz:Position><tt:PanTilt x=\"{}\" y=\"{}\"/>{zoom}</tptz:Position></tptz:AbsoluteMove>",
            self.profile(),
            place.pan,
            place.tilt
        );
        self.order(&body).await
    }

    /// The places that it remembers.
    ///
    /// # Errors
    /// What the camera answers.
    pub async fn presets(&self) -> Result<Vec<Preset>> {
        let answer = self
            .ask(&format!("<tptz:GetPresets>{}</tptz:GetPresets>", self.profile()))
            .await?;
        Ok(read_presets(&answer))
    }

    /// Goes to a place that it remembers.
    ///
    /// # Errors
    /// What the camera answers, as when there is no such place.
    pub async fn go_to(&self, preset: &str) -> Result<()> {
        self.with_preset("GotoPreset", preset).await
    }

    /// Remembers where it is now.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that is empty or longer than 64 characters; what the camera answers.
    pub async fn save_preset(&self, name: &str) -> Result<Preset> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 64 || name.contains(char::is_control) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a preset's name has 1 to 64 characters",
            ));
        }
        let body = format!(
            "<tptz:SetPreset>{}<tptz:PresetName>{}</tptz:PresetName></tptz:SetPreset>",
            self.profile(),
            escape(name)
        );
        let answer = self.ask(&body).await?;
        let token = answer.text_at(&["PresetToken"]).unwrap_or_default().to_owned();
        Ok(Preset {
            token,
            name: name.to_owned(),
        })
    }

    /// Forgets a place.
    ///
    /// # Errors
    /// What the camera answers.
    pub async fn remove_preset(&self, preset: &str) -> Result<()> {
        self.with_preset("RemovePreset", preset).await
    }

    /// Goes where it belongs.
    ///
    /// # Errors
    /// `Unsupported` where the camera has no such place.
    pub async fn go_home(&self) -> Result<()> {
        self.can(self.0.abilities.home, "go home")?;
        let body = format!(
            "<tptz:GotoHomePosition>{}</tptz:GotoHomePosition>",
            self.profile()
        );
        self.order(&body).await
    }

    /// Makes the present place the one where it belongs.
    ///
    /// # Errors
    /// As [`go_home`](Self::go_home); some cameras have a fixed one.
    pub async fn set_home(&self) -> Result<()> {
        self.can(self.0.abilities.home, "go home")?;
        let body = format!("<tptz:SetHomePosition>{}</tptz:SetHomePosition>", self.profile());
        self.ask(&body).await.map(drop)
    }

    async fn with_preset(&self, action: &str, preset: &str) -> Result<()> {
        let body = format!(
            "<tptz:{action}>{}<tptz:PresetToken>{}</tptz:PresetToken></tptz:{action}>",
            self.profile(),
            escape(preset)
        );
        self.order(&body).await
    }

    /// An order that takes the place of whatever it did before.
    async fn order(&self, body: &str) -> Result<()> {
        self.0.orders.fetch_add(1, Ordering::SeqCst);
        let _one_at_a_time = self.0.turn.lock().await;
        self.ask(body).await.map(drop)
    }

    async fn ask(&self, body: &str) -> Result<Node> {
        self.0.device.call(&self.0.at, body).await
    }

    fn can(&self, it: bool, what: &str) -> Result<()> {
        if it {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("the camera does not {what}"),
        ))
    }

    fn profile(&self) -> String {
        format!(
            "<tptz:ProfileToken>{}</tptz:ProfileToken>",
            escape(&self.0.profile)
        )
    }

    /// Only what moves: cameras without zoom refuse orders that name it.
    fn vector(&self, v: Vector) -> String {
        let mut out = String::new();
        if v.turns() {
            out += &format!("<tt:PanTilt x=\"{}\" y=\"{}\"/>", v.pan, v.tilt);
        }
        if v.zoom != 0.0 {
            out += &format!("<tt:Zoom x=\"{}\"/>", v.zoom);
        }
        out
    }
}

async fn abilities(device: &Device, at: &Url, profile: &Profile) -> Result<PtzAbilities> {
    let answer = device.call(at, "<tptz:GetNodes/>").await?;
    Ok(read_abilities(&answer, profile.ptz_node.as_deref()))
}

fn read_abilities(answer: &Node, wanted: Option<&str>) -> PtzAbilities {
    let all = || answer.all("PTZNode");
    let node = wanted
        .and_then(|token| all().find(|n| n.attribute("token") == Some(token)))
        .or_else(|| all().next());
    let Some(node) = node else {
        return PtzAbilities::default();
    };
    let has = |space: &str| node.at(&["SupportedPTZSpaces", space]).is_some();
    PtzAbilities {
        turns: has("ContinuousPanTiltVelocitySpace"),
        zooms: has("ContinuousZoomVelocitySpace"),
        relative: has("RelativePanTiltTranslationSpace"),
        absolute: has("AbsolutePanTiltPositionSpace"),
        home: matches!(node.text_at(&["HomeSupported"]), Some("true" | "1")),
        max_presets: node.number(&["MaximumNumberOfPresets"]).unwrap_or(0),
    }
}

fn read_presets(answer: &Node) -> Vec<Preset> {
    answer
        .all("Preset")
        .filter_map(|p| {
            let token = p.attribute("token").or_else(|| p.attribute("Token"))?;
            let name = p.text_at(&["Name"]).map(plain).filter(|n| !n.is_empty());
            Some(Preset {
                token: token.to_owned(),
                name: name.unwrap_or_else(|| plain(token)),
            })
        })
        .take(MAX_PRESETS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_presets_are_read() {
        let nodes = Node::parse(
            r#"<tptz:GetNodesResponse><tptz:PTZNode token="other"/><tptz:PTZNode token="n"><tt:SupportedPTZSpaces>
            <tt:ContinuousPanTiltVelocitySpace><tt:URI>x</tt:URI></tt:ContinuousPanTiltVelocitySpace><tt:ContinuousZoomVelocitySpace/>
            </tt:SupportedPTZSpaces><tt:MaximumNumberOfPresets>255</tt:MaximumNumberOfPresets><tt:HomeSupported>1</tt:HomeSupported></tptz:PTZNode></tptz:GetNodesResponse>"#,
        )
        .unwrap();
        let found = read_abilities(&nodes, Some("n"));
        assert!(found.turns && found.zooms && found.home && !found.relative && !found.absolute);
        assert_eq!(found.max_presets, 255);
        assert_eq!(read_abilities(&nodes, None), PtzAbilities::default());
        let presets = Node::parse(r#"<r><x:Preset token="1"><Name>Gate &amp; road</Name></x:Preset><x:Preset token="2"><Name/></x:Preset><x:Preset/></r>"#).unwrap();
        let names: Vec<_> = read_presets(&presets).into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["Gate & road", "2"]);
    }

    #[test]
    fn speeds_have_bounds() {
        for bad in [1.1, -2.0, f64::NAN, f64::INFINITY] {
            assert!(
                Vector {
                    tilt: bad,
                    ..Vector::default()
                }
                .check()
                .is_err(),
                "{bad}"
            );
        }
    }
}
