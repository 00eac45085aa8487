//! A backup of everything that is not footage, to be saved elsewhere.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use nvr_core::{Error, ErrorKind};
use tokio_util::io::ReaderStream;

use crate::problem::{Answer, Problem};
use crate::server::AppState;

/// Bytes of a piece.
const PIECE: usize = 64 << 10;

/// A backup of configuration, index, accounts and kept pushes as they are now, as a `.tar.gz`. It holds the passwords of
/// cameras and the hashes of those of users. `nvr restore-backup` takes it.
#[utoipa::path(post, path = "/api/v1/backup", tag = "system",
    responses((status = 200, description = "The archive", body = [u8], content_type = "application/gzip"),
        (status = 409, description = "The recorder was started without a configuration file", body = Problem),
        (status = 429, description = "Another backup is being made", body = Problem)))]
pub(crate) async fn backup(State(app): State<AppState>) -> Answer<Response> {
    let Ok(_turn) = app.backups.try_acquire() else {
        let error = Error::new(ErrorKind::Busy, "another backup is being made");
        return Err(error.with_hint("try again in a moment").into());
    };
    let backup = app.nvr.backup().await?;
    let stamp = backup
        .manifest()
        .made
        .to_jiff()
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string();
    let written = tokio::task::spawn_blocking(move || backup.into_file()).await;
    let (file, size) =
        written.map_err(|e| Error::new(ErrorKind::Internal, "a task failed").with_source(e))??;
    let body = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE);
    let headers = [
        (header::CONTENT_TYPE, "application/gzip".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"nvr-backup-{stamp}.tar.gz\""),
        ),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}
