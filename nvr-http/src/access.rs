//! The one table of who may do what: method, path, what it needs, whose camera it is about, and what the audit log calls
//! it. A route that is not in it is for administrators of all cameras only, and a test finds it.

use nvr_core::accounts::{Action, Permission};

/// What somebody needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Needs {
    /// Nothing.
    Nothing,
    /// To be on this machine, or be somebody who may look at all cameras (unless `metrics_open`).
    Nearness,
    /// To be known in person: by a login or password, or by a token for everything.
    Person,
    /// A permission.
    May(Permission),
}

/// Which camera it is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum About {
    /// None, or the handler looks: it leaves out what is none of the viewer's.
    Any,
    /// All of them: only for who is not limited to some.
    All,
    /// That of the path.
    Camera,
    /// That of the segment in the path.
    Segment,
    /// That of the job in the path.
    Job,
}

/// A line of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    pub(crate) needs: Needs,
    pub(crate) about: About,
    pub(crate) action: Option<Action>,
}

/// Of what is not in the table.
pub(crate) const UNKNOWN: Rule = Rule {
    needs: Needs::May(Permission::Admin),
    about: About::All,
    action: None,
};

type Line = (&'static str, &'static str, Needs, About, Option<Action>);

const LOOK: Needs = Needs::May(Permission::Look);
const CONTROL: Needs = Needs::May(Permission::Control);
const EXPORT: Needs = Needs::May(Permission::Export);
const TELL: Needs = Needs::May(Permission::Tell);
const ADMIN: Needs = Needs::May(Permission::Admin);

/// `GET` goes for `HEAD` as well.
#[rustfmt::skip]
pub(crate) const TABLE: &[Line] = &[
    ("GET",    "/api/openapi.json",                   Needs::Nothing,  About::Any,     None),
    ("GET",    "/health",                             Needs::Nothing,  About::Any,     None),
    ("GET",    "/ready",                              Needs::Nothing,  About::Any,     None),
    ("GET",    "/metrics",                            Needs::Nearness, About::Any,     None),

    ("GET",    "/api/v1/session",                     Needs::Nothing,  About::Any,     None),
    ("POST",   "/api/v1/session",                     Needs::Nothing,  About::Any,     None),
    ("DELETE", "/api/v1/session",                     Needs::Nothing,  About::Any,     None),
    ("POST",   "/api/v1/session/password",            Needs::Person,   About::Any,     None),
    #[cfg(feature = "oidc")]
    ("GET",    "/api/v1/session/oidc",                Needs::Nothing,  About::Any,     None),
    #[cfg(feature = "oidc")]
    ("GET",    "/api/v1/session/oidc/callback",       Needs::Nothing,  About::Any,     None),
    ("POST",   "/api/v1/setup",                       Needs::Nothing,  About::Any,     None),
    ("GET",    "/api/v1/users",                       ADMIN,           About::All,     None),
    ("POST",   "/api/v1/users",                       ADMIN,           About::All,     None),
    ("PATCH",  "/api/v1/users/{name}",                ADMIN,           About::All,     None),
    ("DELETE", "/api/v1/users/{name}",                ADMIN,           About::All,     None),
    ("GET",    "/api/v1/tokens",                      Needs::Person,   About::Any,     None),
    ("POST",   "/api/v1/tokens",                      Needs::Person,   About::Any,     None),
    ("DELETE", "/api/v1/tokens/{id}",                 Needs::Person,   About::Any,     None),
    ("GET",    "/api/v1/audit",                       ADMIN,           About::All,     None),
    ("GET",    "/api/v1/shares",                      EXPORT,          About::Any,     None),
    ("POST",   "/api/v1/shares",                      EXPORT,          About::Any,     None),
    ("DELETE", "/api/v1/shares/{id}",                 EXPORT,          About::Any,     None),
    ("GET",    "/api/v1/shares/{id}",                 Needs::Nothing,  About::Any,     None),
    ("GET",    "/api/v1/shares/{id}/export.mp4",      Needs::Nothing,  About::Any,     None),
    ("GET",    "/api/v1/shares/{id}/vod.m3u8",        Needs::Nothing,  About::Any,     None),
    ("GET",    "/api/v1/shares/{id}/media.m3u8",      Needs::Nothing,  About::Any,     None),
    ("GET",    "/api/v1/shares/{id}/snapshot.jpg",    Needs::Nothing,  About::Any,     None),
    ("GET",    "/api/v1/shares/{id}/segments/{segment}", Needs::Nothing, About::Any,   None),

    ("GET",    "/api/v1/cameras",                     LOOK,            About::Any,     None),
    ("POST",   "/api/v1/cameras",                     ADMIN,           About::All,     Some(Action::Settings)),
    ("PATCH",  "/api/v1/cameras/{id}",                ADMIN,           About::Camera,  Some(Action::Settings)),
    ("DELETE", "/api/v1/cameras/{id}",                ADMIN,           About::Camera,  Some(Action::Settings)),
    ("GET",    "/api/v1/config",                      ADMIN,           About::All,     None),
    ("PATCH",  "/api/v1/config",                      ADMIN,           About::All,     Some(Action::Settings)),
    ("GET",    "/api/v1/config/schema",               ADMIN,           About::Any,     None),
    ("GET",    "/api/v1/discovery",                   ADMIN,           About::All,     None),
    ("GET",    "/api/v1/system",                      LOOK,            About::Any,     None),
    ("GET",    "/api/v1/logs",                        ADMIN,           About::All,     None),
    ("GET",    "/api/v1/cameras/{id}/logs",           ADMIN,           About::Camera,  None),
    ("POST",   "/api/v1/backup",                      ADMIN,           About::All,     Some(Action::Backup)),
    ("GET",    "/api/v1/log-level",                   ADMIN,           About::All,     None),
    ("PUT",    "/api/v1/log-level",                   ADMIN,           About::All,     Some(Action::Settings)),
    ("GET",    "/api/v1/storage/history",             LOOK,            About::Any,     None),
    ("POST",   "/api/v1/cameras/start",               CONTROL,         About::Any,     Some(Action::Control)),
    ("POST",   "/api/v1/cameras/stop",                CONTROL,         About::Any,     Some(Action::Control)),
    ("POST",   "/api/v1/cameras/probe",               ADMIN,           About::All,     Some(Action::Probe)),
    ("GET",    "/api/v1/cameras/{id}",                LOOK,            About::Camera,  None),
    ("POST",   "/api/v1/cameras/{id}/start",          CONTROL,         About::Camera,  Some(Action::Control)),
    ("POST",   "/api/v1/cameras/{id}/stop",           CONTROL,         About::Camera,  Some(Action::Control)),
    ("POST",   "/api/v1/cameras/{id}/restart",        CONTROL,         About::Camera,  Some(Action::Control)),
    ("POST",   "/api/v1/cameras/{id}/split",          CONTROL,         About::Camera,  Some(Action::Control)),
    ("POST",   "/api/v1/cameras/{id}/record",         CONTROL,         About::Camera,  Some(Action::Control)),
    ("GET",    "/api/v1/cameras/{id}/timeline",       LOOK,            About::Camera,  None),
    ("GET",    "/api/v1/timeline",                    LOOK,            About::Any,     None),
    ("GET",    "/api/v1/cameras/{id}/days",           LOOK,            About::Camera,  None),
    ("GET",    "/api/v1/cameras/{id}/motion",         LOOK,            About::Camera,  None),
    ("GET",    "/api/v1/cameras/{id}/motion/now",     LOOK,            About::Camera,  None),
    ("GET",    "/api/v1/cameras/{id}/segments",       LOOK,            About::Camera,  None),
    ("GET",    "/api/v1/segments/{id}",               LOOK,            About::Segment, Some(Action::Play)),
    ("DELETE", "/api/v1/segments/{id}",               ADMIN,           About::Segment, Some(Action::Delete)),
    ("POST",   "/api/v1/segments/{id}/protect",       CONTROL,         About::Segment, Some(Action::Protect)),
    ("POST",   "/api/v1/cameras/{id}/protect",        CONTROL,         About::Camera,  Some(Action::Protect)),
    ("GET",    "/api/v1/cameras/{id}/export.mp4",     EXPORT,          About::Camera,  Some(Action::Export)),
    ("GET",    "/api/v1/cameras/{id}/vod.m3u8",       LOOK,            About::Camera,  Some(Action::Play)),
    ("GET",    "/api/v1/cameras/{id}/media.m3u8",     LOOK,            About::Camera,  Some(Action::Play)),
    ("GET",    "/api/v1/cameras/{id}/snapshot.jpg",   LOOK,            About::Camera,  Some(Action::Play)),

    ("GET",    "/api/v1/cameras/{id}/stills",         LOOK,            About::Camera,  None),
    ("GET",    "/api/v1/cameras/{id}/stills/{at}",    LOOK,            About::Camera,  Some(Action::Play)),

    ("GET",    "/api/v1/cameras/{id}/live",           LOOK,            About::Camera,  None),
    ("GET",    "/api/v1/cameras/{id}/live.mp4",       LOOK,            About::Camera,  Some(Action::Play)),
    ("GET",    "/api/v1/cameras/{id}/live.mjpeg",     LOOK,            About::Camera,  Some(Action::Play)),
    ("GET",    "/api/v1/cameras/{id}/preview",        LOOK,            About::Camera,  Some(Action::Play)),
    ("GET",    "/api/v1/cameras/{id}/live.m3u8",      LOOK,            About::Camera,  None),
    ("GET",    "/api/v1/cameras/{id}/live/{name}",    LOOK,            About::Camera,  None),
    #[cfg(feature = "webrtc")]
    ("POST",   "/api/v1/cameras/{id}/whep",           LOOK,            About::Camera,  Some(Action::Play)),
    // The handlers look whose session it is.
    #[cfg(feature = "webrtc")]
    ("PATCH",  "/api/v1/whep/{session}",              LOOK,            About::Any,     None),
    #[cfg(feature = "webrtc")]
    ("DELETE", "/api/v1/whep/{session}",              LOOK,            About::Any,     None),

    ("POST",   "/api/v1/cameras/{id}/detections",     TELL,            About::Camera,  Some(Action::Detection)),
    ("POST",   "/api/v1/cameras/{id}/detections/{detection}/end", TELL, About::Camera, Some(Action::Detection)),
    // The handlers look whose camera a detection is of.
    ("GET",    "/api/v1/detections",                  LOOK,            About::Any,     None),
    ("GET",    "/api/v1/detections/{id}",             LOOK,            About::Any,     None),
    ("DELETE", "/api/v1/detections/{id}",             ADMIN,           About::Any,     Some(Action::Delete)),
    ("GET",    "/api/v1/detections/{id}/thumbnail",   LOOK,            About::Any,     Some(Action::Play)),

    ("GET",    "/api/v1/objects",                     LOOK,            About::Any,     None),
    ("GET",    "/api/v1/rtsp",                        LOOK,            About::Any,     None),
    ("GET",    "/api/v1/pushes",                      CONTROL,         About::Any,     None),
    ("GET",    "/api/v1/cameras/{id}/pushes",         CONTROL,         About::Camera,  None),
    ("POST",   "/api/v1/cameras/{id}/pushes",         CONTROL,         About::Camera,  Some(Action::Control)),
    ("DELETE", "/api/v1/cameras/{id}/pushes/{push}",  CONTROL,         About::Camera,  Some(Action::Control)),

    ("POST",   "/api/v1/discovery/stream",            ADMIN,           About::All,     Some(Action::Probe)),
    ("GET",    "/api/v1/cameras/{id}/ptz",            CONTROL,         About::Camera,  None),
    ("POST",   "/api/v1/cameras/{id}/ptz/move",       CONTROL,         About::Camera,  Some(Action::Control)),
    ("POST",   "/api/v1/cameras/{id}/ptz/stop",       CONTROL,         About::Camera,  None),
    ("POST",   "/api/v1/cameras/{id}/ptz/presets",    CONTROL,         About::Camera,  Some(Action::Control)),
    ("POST",   "/api/v1/cameras/{id}/ptz/presets/{preset}/goto", CONTROL, About::Camera, Some(Action::Control)),
    ("DELETE", "/api/v1/cameras/{id}/ptz/presets/{preset}", CONTROL,   About::Camera,  Some(Action::Control)),
    ("POST",   "/api/v1/cameras/{id}/ptz/home",       CONTROL,         About::Camera,  Some(Action::Control)),
    ("GET",    "/api/v1/cameras/{id}/clock",          CONTROL,         About::Camera,  None),
    ("POST",   "/api/v1/cameras/{id}/clock",          ADMIN,           About::Camera,  Some(Action::Settings)),
    // The handlers look whose cameras are booked.
    ("GET",    "/api/v1/bookings",                    LOOK,            About::Any,     None),
    ("POST",   "/api/v1/bookings",                    CONTROL,         About::Any,     Some(Action::Control)),
    ("GET",    "/api/v1/bookings/occurrences",        LOOK,            About::Any,     None),
    ("GET",    "/api/v1/bookings/calendars",          CONTROL,         About::All,     None),
    ("GET",    "/api/v1/bookings/{id}",               LOOK,            About::Any,     None),
    ("PATCH",  "/api/v1/bookings/{id}",               CONTROL,         About::Any,     Some(Action::Control)),
    ("DELETE", "/api/v1/bookings/{id}",               CONTROL,         About::Any,     Some(Action::Control)),
    ("POST",   "/api/v1/bookings/{id}/cancel",        CONTROL,         About::Any,     Some(Action::Control)),

    ("GET",    "/api/v1/jobs",                        LOOK,            About::Any,     None),
    ("POST",   "/api/v1/jobs",                        CONTROL,         About::Any,     Some(Action::Job)),
    ("GET",    "/api/v1/jobs/kinds",                  LOOK,            About::Any,     None),
    ("POST",   "/api/v1/jobs/clean",                  CONTROL,         About::All,     Some(Action::Job)),
    ("GET",    "/api/v1/jobs/{id}",                   LOOK,            About::Job,     None),
    ("POST",   "/api/v1/jobs/{id}/cancel",            CONTROL,         About::Job,     Some(Action::Job)),
    ("POST",   "/api/v1/jobs/{id}/retry",             CONTROL,         About::Job,     Some(Action::Job)),
    ("GET",    "/api/v1/jobs/{id}/file",              EXPORT,          About::Job,     Some(Action::Export)),

    ("GET",    "/api/v1/uploads",                     LOOK,            About::Any,     None),
    ("GET",    "/api/v1/uploads/{id}",                LOOK,            About::Any,     None),
    ("POST",   "/api/v1/uploads/{id}/retry",          CONTROL,         About::All,     Some(Action::Job)),
    ("POST",   "/api/v1/cameras/{id}/upload",         CONTROL,         About::Camera,  Some(Action::Job)),
    ("POST",   "/api/v1/cameras/{id}/restore",        CONTROL,         About::Camera,  Some(Action::Job)),
    ("GET",    "/api/v1/segments/{id}/copies",        LOOK,            About::Segment, None),
    ("POST",   "/api/v1/segments/{id}/link",          EXPORT,          About::Segment, Some(Action::Share)),

    ("GET",    "/api/v1/transcoding",                 LOOK,            About::Any,     None),
    ("POST",   "/api/v1/transcoding",                 ADMIN,           About::Any,     Some(Action::Job)),
    ("POST",   "/api/v1/transcoding/enable",          ADMIN,           About::All,     Some(Action::Settings)),
    ("POST",   "/api/v1/transcoding/disable",         ADMIN,           About::All,     Some(Action::Settings)),
    ("GET",    "/api/v1/alerts",                      LOOK,            About::Any,     None),
    // The handler looks whose camera an alert is about.
    ("POST",   "/api/v1/alerts/{id}/acknowledge",     CONTROL,         About::Any,     Some(Action::Control)),
    ("POST",   "/api/v1/alerts/mutes",                CONTROL,         About::All,     Some(Action::Control)),
    ("DELETE", "/api/v1/alerts/mutes/{id}",           CONTROL,         About::All,     Some(Action::Control)),
    ("GET",    "/api/v1/alerts/channels",             CONTROL,         About::All,     None),
    ("POST",   "/api/v1/alerts/channels/{name}/test", CONTROL,         About::All,     Some(Action::Control)),
    ("GET",    "/api/v1/events",                      LOOK,            About::Any,     None),
    ("GET",    "/api/v1/storage",                     LOOK,            About::Any,     None),
    ("POST",   "/api/v1/storage/cleanup",             ADMIN,           About::All,     Some(Action::Delete)),

    // Of other recorders.
    ("GET",    "/list",                               LOOK,            About::Any,     None),
    ("GET",    "/get",                                EXPORT,          About::Any,     Some(Action::Export)),
    ("GET",    "/api/recordings/unavailable",         LOOK,            About::Any,     None),
    ("GET",    "/api/recordings/summary",             LOOK,            About::Any,     None),
    ("GET",    "/api/{id}/recordings",                LOOK,            About::Camera,  None),
    ("GET",    "/api/{id}/recordings/summary",        LOOK,            About::Camera,  None),
    ("GET",    "/api/{id}/latest.jpg",                LOOK,            About::Camera,  Some(Action::Play)),
    ("GET",    "/api/{id}/start/{start}/end/{end}/clip.mp4",     EXPORT, About::Camera, Some(Action::Export)),
    ("GET",    "/vod/{id}/start/{start}/end/{end}/master.m3u8",  LOOK,   About::Camera, Some(Action::Play)),
    ("GET",    "/api/status",                         LOOK,            About::Any,     None),
    ("GET",    "/api/cameras",                        LOOK,            About::Any,     None),
    ("GET",    "/api/recordings",                     LOOK,            About::Any,     None),
    ("GET",    "/api/storage",                        LOOK,            About::Any,     None),
    ("GET",    "/api/system/cpu",                     LOOK,            About::Any,     None),
    ("GET",    "/api/system/memory",                  LOOK,            About::Any,     None),
    ("GET",    "/api/logs",                           ADMIN,           About::All,     None),
    ("GET",    "/api/transcoding/status",             LOOK,            About::Any,     None),
    ("POST",   "/api/transcoding/enable",             ADMIN,           About::All,     Some(Action::Settings)),
    ("POST",   "/api/transcoding/disable",            ADMIN,           About::All,     Some(Action::Settings)),
    ("POST",   "/api/camera/{id}/start",              CONTROL,         About::Camera,  Some(Action::Control)),
    ("POST",   "/api/camera/{id}/stop",               CONTROL,         About::Camera,  Some(Action::Control)),
    ("POST",   "/api/start_all",                      CONTROL,         About::Any,     Some(Action::Control)),
    ("POST",   "/api/stop_all",                       CONTROL,         About::Any,     Some(Action::Control)),
    ("GET",    "/api/download/{id}/{file}",           EXPORT,          About::Camera,  Some(Action::Export)),
    ("DELETE", "/api/delete/{id}/{file}",             ADMIN,           About::Camera,  Some(Action::Delete)),
    // The handlers look whose camera a session is about.
    ("POST",   "/session/open",                       CONTROL,         About::Any,     Some(Action::Control)),
    ("POST",   "/session/close",                      CONTROL,         About::Any,     Some(Action::Control)),
    ("GET",    "/session/list",                       LOOK,            About::Any,     None),
    ("GET",    "/stream",                             LOOK,            About::Any,     Some(Action::Play)),
    ("POST",   "/record/start",                       CONTROL,         About::Any,     Some(Action::Control)),
    ("POST",   "/record/stop",                        CONTROL,         About::Any,     Some(Action::Control)),
    ("GET",    "/record/status/{session}",            LOOK,            About::Any,     None),
    ("GET",    "/videos",                             LOOK,            About::Any,     None),
    ("GET",    "/videos/{file}",                      EXPORT,          About::Any,     Some(Action::Export)),
];

/// The line of a request; `None` for one that is not in the table.
pub(crate) fn find(method: &str, path: &str) -> Option<Rule> {
    let method = if method == "HEAD" { "GET" } else { method };
    TABLE
        .iter()
        .find(|(m, p, ..)| *m == method && *p == path)
        .map(|&(_, _, needs, about, action)| Rule { needs, about, action })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_a_line_and_every_line_a_route() {
        let described = serde_json::to_value(crate::openapi::openapi()).unwrap();
        let mut routes = Vec::new();
        for (path, item) in described["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                let method = method.to_uppercase();
                if method != "PARAMETERS" {
                    assert!(
                        find(&method, path).is_some(),
                        "{method} {path} is not in the table"
                    );
                    routes.push((method, path.clone()));
                }
            }
        }
        for (method, path, ..) in TABLE {
            let is_other = crate::compat::PATHS.contains(&(method, path)) || *path == "/api/openapi.json";
            let is_route = routes.iter().any(|(m, p)| m == method && p == path);
            assert!(is_other || is_route, "{method} {path} is no route");
        }
        for (method, path) in crate::compat::PATHS {
            assert!(
                find(method, path).is_some(),
                "{method} {path} is not in the table"
            );
        }
    }

    #[test]
    fn a_camera_in_the_path_is_looked_at() {
        for (method, path, needs, about, _) in TABLE {
            let expected = match () {
                () if *needs == Needs::Nothing => continue,
                () if path.contains("/cameras/{id}") => About::Camera,
                () if path.starts_with("/api/")
                    && !path.starts_with("/api/v1/")
                    && path.contains("/{id}") =>
                {
                    About::Camera
                }
                () if path.starts_with("/vod/{id}") => About::Camera,
                () if path.contains("/segments/{id}") => About::Segment,
                () if path.contains("/jobs/{id}") => About::Job,
                () => continue,
            };
            assert_eq!(*about, expected, "{method} {path}");
        }
    }

    #[test]
    fn what_changes_something_is_not_for_viewers() {
        for (method, path, needs, ..) in TABLE {
            // Watching begins and ends with an order, and changes nothing.
            if *method != "GET" && !path.contains("/whep") {
                assert_ne!(*needs, LOOK, "{method} {path}");
            }
        }
    }
}
