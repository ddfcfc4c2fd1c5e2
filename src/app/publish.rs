//! `ghostlight publish`: a file goes to an RTMP server as if it were live, once or many times.

mod many;
mod pace;
mod progress;
mod reel;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::demo::CLIP;
use super::load::{parse_length, parse_up_to};
use super::quiet::Quiet;
use crate::base::{Limits, SystemClock};
use crate::load::PUBLISHERS_MAX;
use crate::media::{FlvTag, FlvTagKind};
use crate::rtmp::client::{ClientError, Link, MediaKind, Target};

pub use many::Tally;
pub(super) use pace::Pace;
pub(super) use progress::Progress;
pub(super) use reel::Reel;
use reel::{ReelError, Round};

/// How fast `--speed` may play.
const SPEED_MIN: f64 = 0.01;
const SPEED_MAX: f64 = 100.0;

#[derive(Clone, Debug, Args)]
pub struct PublishArgs {
    /// The file to publish; a small built-in clip where none is named
    #[arg(value_name = "FILE.flv")]
    pub file: Option<PathBuf>,
    /// Where to: rtmp://host/app/key, with :port where it is not 1935
    #[arg(long, value_name = "ADDRESS", value_parser = Quiet(Target::parse))]
    pub to: Target,
    /// Begin again at the end, for ever
    #[arg(long = "loop")]
    pub repeat: bool,
    /// Send faster or slower than real time (0.01 to 100); the timestamps stay the file's
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = parse_speed)]
    pub speed: f64,
    /// Publish this many times at once (1 to 1000); what differs stands in the address as {key}, or as
    /// n in such braces for a number from 1 on
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count)]
    pub count: usize,
    /// A file of stream keys, one in each line, for {key} in the address
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Stop after this many seconds (1 to 3600)
    #[arg(long, value_name = "S", value_parser = parse_length)]
    pub seconds: Option<Duration>,
    /// Print the result of --count as JSON
    #[arg(long)]
    pub json: bool,
    /// With --count: load a server that is not on this machine; whoever answers for it has agreed
    #[arg(long)]
    pub i_own_this_server: bool,
}

impl PublishArgs {
    fn name(&self) -> String {
        self.file.as_ref().map_or_else(|| "the clip".to_owned(), |file| file.display().to_string())
    }

    async fn read(&self) -> Result<Bytes, ReelError> {
        match &self.file {
            Some(file) => reel::read(file).await,
            None => Ok(Bytes::from_static(CLIP)),
        }
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    parse_up_to(text, PUBLISHERS_MAX)
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let speed: Option<f64> = text.parse().ok();
    speed
        .filter(|speed| (SPEED_MIN..=SPEED_MAX).contains(speed))
        .ok_or_else(|| format!("a number from {SPEED_MIN} to {SPEED_MAX}"))
}

/// Why nothing was published, or not to the end.
#[derive(Debug)]
pub enum Unpublished {
    /// What was asked for cannot be done: nobody has been connected to.
    Wrong(anyhow::Error),
    /// A refusal, a lost connection or a file that goes wrong half-way.
    Failed(anyhow::Error),
}

/// Publishes the file and returns when it is over or `stop` asks for the end, both of which are
/// success. Of many publishers, what they came to is the answer.
pub async fn run(args: PublishArgs, stop: CancellationToken) -> Result<Option<Tally>, Unpublished> {
    let unread = if args.count == 1 { Unpublished::Failed } else { Unpublished::Wrong };
    let file = args.read().await.with_context(|| args.name()).map_err(unread)?;
    let length = args.seconds;
    let published = async {
        if args.count == 1 {
            let published = publish(args, file, &stop).await;
            return published.map(|()| None).map_err(Unpublished::Failed);
        }
        // Whatever is an error here is known before the first publisher connects.
        many::run(&args, &file, &stop).await.map(Some).map_err(Unpublished::Wrong)
    };
    tokio::pin!(published);
    tokio::select! {
        biased;
        ended = &mut published => return ended,
        () = passed(length) => stop.cancel(),
    }
    published.await
}

/// Never, where there is no such length.
async fn passed(length: Option<Duration>) {
    match length {
        Some(length) => tokio::time::sleep(length).await,
        None => std::future::pending().await,
    }
}

async fn publish(args: PublishArgs, file: Bytes, stop: &CancellationToken) -> anyhow::Result<()> {
    let name = args.name();
    let mut reel = Reel::new(file).with_context(|| name.clone())?;
    let progress = Progress::new(&args.to, reel.bytes());
    let (limits, clock) = (Limits::default(), Arc::new(SystemClock::new()));
    let link = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        link = Link::open(args.to, &limits, clock) => link?,
    };
    let pace = Pace::new(args.speed);
    let played = play(link, &mut reel, args.repeat, pace, &progress, stop).await;
    progress.finish();
    match played {
        Ok(()) => {}
        Err(PlayError::File(error)) => return Err(error).context(name),
        Err(PlayError::Server(error)) => return Err(error.into()),
    }
    if reel.is_truncated() {
        progress.say(&format!("{name} ends in the middle of a tag; what is whole was sent"));
    }
    Ok(())
}

/// Why playing ended before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlayError {
    #[error(transparent)]
    File(#[from] ReelError),
    #[error(transparent)]
    Server(#[from] ClientError),
}

/// Plays the reel, once or for ever, and says goodbye to the server.
pub(super) async fn play(
    mut link: Link,
    reel: &mut Reel,
    repeat: bool,
    mut pace: Pace,
    progress: &Progress,
    stop: &CancellationToken,
) -> Result<(), PlayError> {
    let mut round = Round::new(repeat);
    loop {
        let Some(tag) = reel.next_tag()? else {
            if !repeat {
                break;
            }
            reel.rewind()?;
            round.begin_again();
            continue;
        };
        let Some(media) = round.place(&tag) else { continue };
        let due = pace.due(media, tokio::time::Instant::now());
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            listened = link.listen_until(due) => listened?,
        }
        let (bytes, late) = (tag.body.len(), due.elapsed());
        tokio::select! {
            biased;
            wrote = link.write(kind(&tag), wrap(media), tag.body) => wrote?,
            // The server takes nothing more, so there is no goodbye to say either.
            () = stop.cancelled() => return Ok(()),
        }
        progress.sent(bytes, media, reel.position(), late);
    }
    Ok(link.finish().await?)
}

fn kind(tag: &FlvTag) -> MediaKind {
    match tag.kind {
        FlvTagKind::Audio => MediaKind::Audio,
        FlvTagKind::Video => MediaKind::Video,
        FlvTagKind::Script => MediaKind::Metadata,
    }
}

/// RTMP's time is the running one modulo 2^32 ms (Adobe RTMP 1.0, section 5.1).
fn wrap(media_millis: u64) -> u32 {
    u32::try_from(media_millis & u64::from(u32::MAX)).expect("masked to 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_sane_number() {
        assert!(parse_speed("2.5").is_ok_and(|speed| speed > 2.4));
        for bad in ["0", "-1", "1e9", "nan", "inf", "fast", ""] {
            parse_speed(bad).expect_err(bad);
        }
    }

    #[test]
    fn time_wraps_at_32_bits() {
        assert_eq!(wrap(4_294_967_295), u32::MAX);
        assert_eq!(wrap(4_294_967_296), 0);
    }
}
