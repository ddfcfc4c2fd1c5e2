use std::io;

use super::crowd::Plan;
use super::http::{Body, Http};
use super::player::Conduct;
use super::playlist::{Playlist, resolve};

/// What one look finds before a crowd is sent.
#[derive(Debug)]
pub struct Survey {
    /// Path of the media playlist.
    pub path: String,
    pub playlist: Playlist,
}

/// Why there is nothing to send a crowd to.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    #[error("{path}: {cause}")]
    NoAnswer { path: String, cause: io::Error },
    #[error("{path}: the server answers {status}")]
    Status { path: String, status: u16 },
    #[error("{path} is no HLS playlist")]
    NoPlaylist { path: String },
    #[error("{path} leads to another server, and only the one asked for is loaded")]
    Elsewhere { path: String },
    #[error("{path} offers no low latency: it lacks CAN-BLOCK-RELOAD=YES or EXT-X-PART-INF")]
    NoLowLatency { path: String },
    #[error("{path}: the broadcast is over")]
    Over { path: String },
}

/// Looks once whether the players of this plan will find what they want.
pub async fn survey(plan: &Plan) -> Result<Survey, SurveyError> {
    let mut http = Http::new(plan.addr, plan.authority.clone());
    let mut path = plan.entry.to_string();
    let mut playlist = get(&mut http, &path).await?;
    if let Some(uri) = playlist.variant.take() {
        let to = resolve(&path, &uri, &plan.authority);
        path = to.ok_or(SurveyError::Elsewhere { path })?;
        playlist = get(&mut http, &path).await?;
    }
    if playlist.variant.is_some() {
        return Err(SurveyError::NoPlaylist { path });
    }
    if playlist.ended {
        return Err(SurveyError::Over { path });
    }
    let low_latency = playlist.can_block && !playlist.part_target.is_zero();
    if plan.conduct != Conduct::Plain && !low_latency {
        return Err(SurveyError::NoLowLatency { path });
    }
    Ok(Survey { path, playlist })
}

async fn get(http: &mut Http, path: &str) -> Result<Playlist, SurveyError> {
    let path = path.to_owned();
    let answer = match http.get(&path, Body::Keep).await {
        Ok(answer) => answer,
        Err(cause) => return Err(SurveyError::NoAnswer { path, cause }),
    };
    if answer.status != 200 {
        return Err(SurveyError::Status { path, status: answer.status });
    }
    let text = std::str::from_utf8(&answer.body).ok();
    text.and_then(Playlist::parse).ok_or(SurveyError::NoPlaylist { path })
}
