//! The queue of jobs as the commands reach it: over the HTTP API of the running recorder, or in the index while none
//! runs.

use std::time::Duration;

use nvr_core::config::Config;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::jobs::{IdleJobs, JobId, JobQuery, JobState, NewJob};
use nvr_core::store::JobRow;
use nvr_core::{Archive, CameraId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::{self, Recorder};
use crate::exit::Failure;

/// A job as it is printed; also as the recorder tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobView {
    pub id: JobId,
    pub kind: String,
    pub params: Value,
    pub camera: Option<CameraId>,
    pub priority: i32,
    pub anytime: bool,
    pub state: JobState,
    pub attempts: u32,
    pub progress: f64,
    pub message: String,
    pub result: Option<Value>,
    pub error: Option<String>,
    pub input_bytes: u64,
    pub created: Timestamp,
    pub not_before: Timestamp,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

impl From<JobRow> for JobView {
    fn from(job: JobRow) -> Self {
        Self {
            id: job.id,
            kind: job.kind,
            params: job.params,
            camera: job.camera,
            priority: job.priority,
            anytime: job.anytime,
            state: job.state,
            attempts: job.attempts,
            progress: job.progress,
            message: job.message,
            result: job.result,
            error: job.error,
            input_bytes: job.input_bytes,
            created: job.created,
            not_before: job.not_before,
            started: job.started,
            ended: job.ended,
        }
    }
}

/// Where the queue is reached.
#[derive(Debug)]
pub struct Queue {
    config: Config,
    /// Of the recorder that runs.
    address: Option<Recorder>,
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Failure> {
    let wrong = |e| {
        Error::new(
            ErrorKind::Unavailable,
            format!("the recorder's answer is not understood: {e}"),
        )
    };
    Ok(serde_json::from_value(value).map_err(wrong)?)
}

fn list_text<T>(list: &[T], text: impl Fn(&T) -> &str) -> String {
    list.iter().map(text).collect::<Vec<_>>().join(",")
}

impl Queue {
    /// Finds out whether a recorder answers.
    pub async fn find(config: Config) -> Self {
        let address = match client::address(&config) {
            Some(address) if client::get(&address, "/health").await.is_some() => Some(address),
            _ => None,
        };
        Self { config, address }
    }

    /// Whether a recorder answers.
    pub const fn is_served(&self) -> bool {
        self.address.is_some()
    }

    async fn ask(
        &self,
        address: &Recorder,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let answer = client::ask(address, method, path, body).await.ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                format!("the recorder at {address} does not answer"),
            )
        })?;
        Ok(answer.into_result()?)
    }

    async fn idle(&self) -> Result<IdleJobs, Failure> {
        IdleJobs::open(&self.config).await.map_err(|e| {
            if e.kind() == ErrorKind::Conflict {
                let hint =
                    "a recorder runs and does not answer at `http.listen`; switch [http] on, or stop it";
                e.with_hint(hint).into()
            } else {
                e.into()
            }
        })
    }

    /// Tells when a job changes or gets further, if a recorder is there to tell it.
    pub async fn changes(&self) -> Option<client::Events> {
        client::Events::of(self.address.as_ref()?, "job_changed").await
    }

    /// Jobs, newest first, at most so many; and whether there are more.
    ///
    /// # Errors
    /// What the recorder or the index says.
    pub async fn list(&self, query: JobQuery, limit: usize) -> Result<(Vec<JobView>, bool), Failure> {
        let mut found: Vec<JobView> = Vec::new();
        let mut query = query;
        let mut cursor: Option<String> = None;
        let archive = match &self.address {
            Some(_) => None,
            None => Some(Archive::open(&self.config).await?),
        };
        loop {
            query.limit = u32::try_from(limit - found.len())
                .unwrap_or(u32::MAX)
                .clamp(1, 1000);
            let next = match (&self.address, &archive) {
                (Some(address), _) => {
                    let mut path = format!("/api/v1/jobs?limit={}", query.limit);
                    if !query.states.is_empty() {
                        path += &format!("&state={}", list_text(&query.states, |s| s.as_str()));
                    }
                    if !query.kinds.is_empty() {
                        path += &format!(
                            "&kind={}",
                            client::encode(&list_text(&query.kinds, String::as_str))
                        );
                    }
                    if let Some(camera) = &query.camera {
                        path += &format!("&camera={camera}");
                    }
                    if let Some(cursor) = &cursor {
                        path += &format!("&cursor={cursor}");
                    }
                    let mut page = self.ask(address, "GET", &path, None).await?;
                    found.extend(read::<Vec<JobView>>(page["jobs"].take())?);
                    page["next"].as_str().map(str::to_owned)
                }
                (None, Some(archive)) => {
                    query.cursor = cursor.as_deref().map(str::parse).transpose()?;
                    let page = archive.jobs_of(query.clone()).await?;
                    found.extend(page.items.into_iter().map(JobView::from));
                    page.next.map(|c| c.to_string())
                }
                (None, None) => None,
            };
            match next {
                Some(_) if found.len() >= limit => return Ok((found, true)),
                Some(next) => cursor = Some(next),
                None => return Ok((found, false)),
            }
        }
    }

    /// One job.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id.
    pub async fn get(&self, id: JobId) -> Result<JobView, Failure> {
        match &self.address {
            Some(address) => read(
                self.ask(address, "GET", &format!("/api/v1/jobs/{id}"), None)
                    .await?,
            ),
            None => Ok(Archive::open(&self.config).await?.job(id).await?.into()),
        }
    }

    /// Has footage of a camera encoded again; `idle` are the jobs for it, entered here when no recorder runs.
    ///
    /// # Errors
    /// `NotFound` when nothing in the range can be encoded again, and what the recorder or the index says.
    pub async fn transcode(
        &self,
        camera: &CameraId,
        range: nvr_core::TimeRange,
        idle: Vec<NewJob>,
    ) -> Result<Vec<JobId>, Failure> {
        if let Some(address) = &self.address {
            let body = json!({ "camera": camera, "from": range.start(), "to": range.end() });
            let mut answer = self
                .ask(address, "POST", "/api/v1/transcoding", Some(&body))
                .await?;
            return read(answer["jobs"].take());
        }
        if idle.is_empty() {
            let e = Error::new(
                ErrorKind::NotFound,
                format!(
                    "camera {camera} has no H.264 segment wholly inside the range that may be encoded again"
                ),
            );
            return Err(e.into());
        }
        let jobs = self.idle().await?;
        let mut ids = Vec::with_capacity(idle.len());
        for job in idle {
            ids.push(jobs.enqueue(job).await?.job.id);
        }
        jobs.close().await?;
        Ok(ids)
    }

    /// Enters a job; whether it is new.
    ///
    /// # Errors
    /// What the recorder or the index says.
    pub async fn enqueue(&self, new: NewJob) -> Result<(JobView, bool), Failure> {
        let Some(address) = &self.address else {
            let jobs = self.idle().await?;
            let added = jobs.enqueue(new).await?;
            jobs.close().await?;
            return Ok((added.job.into(), added.is_new));
        };
        let body = json!({
            "kind": new.kind,
            "params": new.params,
            "priority": new.priority,
            "anytime": new.anytime,
        });
        let answer = client::ask(address, "POST", "/api/v1/jobs", Some(&body))
            .await
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("the recorder at {address} does not answer"),
                )
            })?;
        let is_new = answer.status == 201;
        Ok((read(answer.into_result()?)?, is_new))
    }

    /// Calls off a job.
    ///
    /// # Errors
    /// `NotFound` or `Conflict`.
    pub async fn cancel(&self, id: JobId) -> Result<JobView, Failure> {
        self.change(id, "cancel").await
    }

    /// Tries a job again.
    ///
    /// # Errors
    /// `NotFound` or `Conflict`.
    pub async fn retry(&self, id: JobId) -> Result<JobView, Failure> {
        self.change(id, "retry").await
    }

    async fn change(&self, id: JobId, what: &str) -> Result<JobView, Failure> {
        if let Some(address) = &self.address {
            let path = format!("/api/v1/jobs/{id}/{what}");
            return read(self.ask(address, "POST", &path, None).await?);
        }
        let jobs = self.idle().await?;
        let job = if what == "cancel" {
            jobs.cancel(id).await
        } else {
            jobs.retry(id).await
        };
        jobs.close().await?;
        Ok(job?.into())
    }

    /// Forgets finished jobs; how many.
    ///
    /// # Errors
    /// What the recorder or the index says.
    pub async fn clean(&self, states: &[JobState], older_than: Duration) -> Result<u64, Failure> {
        if let Some(address) = &self.address {
            let path = format!(
                "/api/v1/jobs/clean?state={}&older_than={}",
                list_text(states, |s| s.as_str()),
                older_than.as_secs_f64()
            );
            let answer = self.ask(address, "POST", &path, None).await?;
            return Ok(answer["forgotten"].as_u64().unwrap_or(0));
        }
        let jobs = self.idle().await?;
        let n = jobs.clean(states, older_than).await;
        jobs.close().await?;
        Ok(n?)
    }
}
