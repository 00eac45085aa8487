//! WHEP: WebRTC by an offer and an answer (draft-ietf-wish-whep).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nvr_core::{Error, ErrorKind};

use super::{ASKED, known, refuses_whep, silence, stream_of, usable};
use crate::auth::Viewer;
use crate::params::{CameraPath, Query, SessionPath};
use crate::place::Place;
use crate::problem::{Answer, Failure, Problem};
use crate::server::AppState;
use crate::webrtc::Refusal;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// The largest offer; those of browsers have a few kilobytes.
const MOST_BYTES: usize = 64 << 10;
/// Frames and audio packets that wait for a slow viewer.
const CAPACITY: usize = 200;

fn is_type(headers: &HeaderMap, wanted: &str) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split(';').next())
        .is_some_and(|v| v.trim().eq_ignore_ascii_case(wanted))
}

fn wrong_type(wanted: &str) -> Failure {
    Failure::Http(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("want {wanted}"),
    )
}

/// Watches a camera by WebRTC.
#[utoipa::path(post, path = "/api/v1/cameras/{id}/whep", tag = "live",
    params(("id" = String, Path, description = "Camera id"),
        ("stream" = Option<String>, Query, description = "main (default) or sub")),
    request_body(content = String, content_type = "application/sdp", description = "The offer"),
    responses((status = 201, description = "The answer; `Location` is the session, to be deleted at the end", content_type = "application/sdp", body = String),
        (status = 404, description = "There is none of that id", body = Problem),
        (status = 406, description = "The offer has nothing that the stream could go by", body = Problem),
        (status = 409, description = "The stream does not go by WebRTC; take another way", body = Problem),
        (status = 415, description = "The body is not SDP", body = Problem),
        (status = 503, description = "The camera sends nothing", body = Problem)))]
pub(crate) async fn offer(
    State(app): State<AppState>,
    who: Viewer,
    CameraPath(id): CameraPath,
    mut query: Query,
    headers: HeaderMap,
    body: Result<String, axum::extract::rejection::StringRejection>,
) -> Answer<Response> {
    let stream = stream_of(&mut query)?;
    query.end()?;
    let camera = app.nvr.camera(&id)?;
    usable(&camera)?;
    if !is_type(&headers, SDP) {
        return Err(wrong_type(SDP));
    }
    let body = body.map_err(|e| Failure::Http(e.status(), "invalid_argument", e.body_text()))?;
    if body.len() > MOST_BYTES {
        return Err(Failure::Http(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "the offer is larger than allowed".into(),
        ));
    }
    let place = Place::take(&app, who.clone(), id)?;
    let mut viewer = camera.watch(stream, CAPACITY);
    let Some(info) = known(&mut viewer, ASKED).await else {
        return Err(Error::new(ErrorKind::Unavailable, silence(&viewer)).into());
    };
    if let Some(why) = refuses_whep(&app, &info) {
        return Err(Error::new(ErrorKind::Conflict, why).into());
    }
    // What was read to know the stream is part of the picture.
    viewer.restart();
    let answer = app
        .webrtc
        .accept(&body, viewer, &info, who, place)
        .await
        .map_err(|refusal| match refusal {
            Refusal::Offer(why) => Failure::invalid(format!("the offer cannot be answered: {why}")),
            Refusal::NotAcceptable(why) => Failure::Http(StatusCode::NOT_ACCEPTABLE, "not_acceptable", why),
            Refusal::Error(e) => e.into(),
        })?;
    Ok((
        StatusCode::CREATED,
        [
            (header::CONTENT_TYPE, SDP.to_owned()),
            (header::LOCATION, format!("/api/v1/whep/{}", answer.id)),
            (header::ETAG, format!("\"{}\"", answer.id)),
            (header::CACHE_CONTROL, "no-store".to_owned()),
            (
                header::HeaderName::from_static("accept-patch"),
                FRAGMENT.to_owned(),
            ),
        ],
        answer.sdp,
    )
        .into_response())
}

fn unknown() -> Failure {
    Failure::not_found("there is no such session; it has ended")
}

/// Candidates of the viewer. They are not needed: the recorder learns addresses from the packets that come.
#[utoipa::path(patch, path = "/api/v1/whep/{session}", tag = "live",
    params(("session" = String, Path, description = "From `Location`")),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag", description = "Candidates"),
    responses((status = 204, description = "Taken note of"),
        (status = 404, description = "It has ended", body = Problem),
        (status = 415, description = "The body is no fragment of SDP", body = Problem)))]
pub(crate) async fn trickle(
    State(app): State<AppState>,
    who: Viewer,
    SessionPath(session): SessionPath,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    if !app.webrtc.knows(&session, &who) {
        return Err(unknown());
    }
    if !is_type(&headers, FRAGMENT) {
        return Err(wrong_type(FRAGMENT));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Ends watching. For who began it, as candidates are; to others there is no such session.
#[utoipa::path(delete, path = "/api/v1/whep/{session}", tag = "live",
    params(("session" = String, Path, description = "From `Location`")),
    responses((status = 200, description = "Ended"), (status = 404, description = "It had ended", body = Problem)))]
pub(crate) async fn end(
    State(app): State<AppState>,
    who: Viewer,
    SessionPath(session): SessionPath,
) -> Answer<StatusCode> {
    if app.webrtc.end(&session, &who) {
        Ok(StatusCode::OK)
    } else {
        Err(unknown())
    }
}
