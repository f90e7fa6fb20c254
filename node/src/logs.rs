//! What containers print: bounded lines with their times, for readers now and later. A writer never waits.

use crate::limits::{LOG_BYTES_MAX, LOG_LINE_MAX};
use parking_lot::Mutex;
use sampan_env::Env;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub time: SystemTime,
    pub text: Box<[u8]>,
    /// Whether the line was ended; the last words of a container may not be.
    pub ended: bool,
}

#[derive(Default)]
struct Lines {
    lines: VecDeque<Line>,
    bytes: usize,
    /// The number of the first line that is kept.
    first: u64,
    /// Begun, not ended, for each of stdout and stderr.
    open: [Vec<u8>; 2],
}

/// The log of one run of one container.
pub struct RunLog {
    env: Env,
    lines: Mutex<Lines>,
    /// How many lines there have been, and whether the run is over.
    seen: watch::Sender<(u64, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl RunLog {
    pub fn new(env: &Env) -> Arc<Self> {
        Arc::new(Self { env: env.clone(), lines: Mutex::default(), seen: watch::Sender::new((0, false)) })
    }

    /// Takes what a guest wrote, at whatever boundaries.
    pub fn write(&self, stream: Stream, bytes: &[u8]) {
        let now = self.env.now();
        let mut lines = self.lines.lock();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let mut open = std::mem::take(&mut lines.open[stream as usize]);
            open.extend_from_slice(text);
            while open.len() > LOG_LINE_MAX {
                let rest = open.split_off(LOG_LINE_MAX);
                lines.push(Line { time: now, text: std::mem::replace(&mut open, rest).into(), ended: true });
            }
            if ended {
                lines.push(Line { time: now, text: open.into(), ended: true });
            } else {
                lines.open[stream as usize] = open;
            }
        }
        self.tell(&lines, false);
    }

    fn tell(&self, lines: &Lines, over: bool) {
        let count = lines.first + lines.lines.len() as u64;
        self.seen.send_if_modified(|seen| {
            let changed = *seen != (count, over || seen.1);
            *seen = (count, over || seen.1);
            changed
        });
    }

    /// The run is over: what was begun is the last line, and followers come to the end.
    pub fn finish(&self) {
        let now = self.env.now();
        let mut lines = self.lines.lock();
        for stream in 0..2 {
            let text = std::mem::take(&mut lines.open[stream]);
            if !text.is_empty() {
                lines.push(Line { time: now, text: text.into(), ended: false });
            }
        }
        self.tell(&lines, true);
    }

    /// Lines from number `from` on, and the number of the next.
    pub fn read(&self, from: u64, at_most: usize) -> (Vec<Line>, u64) {
        let lines = self.lines.lock();
        let skip = usize::try_from(from.saturating_sub(lines.first)).unwrap_or(usize::MAX);
        let found: Vec<Line> = lines.lines.iter().skip(skip).take(at_most).cloned().collect();
        let next = from.max(lines.first) + found.len() as u64;
        (found, next)
    }

    /// The number of the line with which the last `tail` lines begin.
    pub fn tail(&self, tail: usize) -> u64 {
        let lines = self.lines.lock();
        lines.first + lines.lines.len().saturating_sub(tail) as u64
    }

    /// Changes when there are more lines or the run is over.
    pub fn seen(&self) -> watch::Receiver<(u64, bool)> {
        self.seen.subscribe()
    }
}

impl Lines {
    fn push(&mut self, line: Line) {
        /// What a line costs beside its text.
        const LINE_OVERHEAD: usize = 48;
        self.bytes += line.text.len() + LINE_OVERHEAD;
        self.lines.push_back(line);
        while self.bytes > LOG_BYTES_MAX {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= oldest.text.len() + LINE_OVERHEAD;
            self.first += 1;
        }
    }
}

/// The logs of a container: the latest run's and the one's before.
#[derive(Clone, Default)]
pub struct ContainerLogs {
    pub current: Option<Arc<RunLog>>,
    pub previous: Option<Arc<RunLog>>,
    /// Why it waits for its next run; None: the latest run is what its state tells of.
    pub waiting: Option<String>,
}

impl ContainerLogs {
    pub fn next_run(&mut self, log: Arc<RunLog>) {
        if let Some(before) = self.current.replace(log) {
            before.finish();
            self.previous = Some(before);
        }
        self.waiting = None;
    }

    /// The run that `--previous` means: the last one that ended before what the state tells of.
    pub fn before(&self) -> Option<&Arc<RunLog>> {
        if self.waiting.is_some() { self.current.as_ref() } else { self.previous.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: &RunLog) -> Vec<String> {
        log.read(0, usize::MAX).0.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
    }

    #[test]
    fn lines_are_put_together_from_chunks() {
        let log = RunLog::new(&Env::system());
        log.write(Stream::Stdout, b"a");
        log.write(Stream::Stderr, b"err\n");
        log.write(Stream::Stdout, b"b\nc\nd");
        assert_eq!(texts(&log), ["err", "ab", "c"]);
        log.finish();
        assert_eq!(texts(&log), ["err", "ab", "c", "d"]);
        assert_eq!(*log.seen().borrow(), (4, true));
        assert_eq!(log.tail(1), 3);
    }

    #[test]
    fn previous_is_the_run_that_ended_last() {
        let env = Env::system();
        let (first, second) = (RunLog::new(&env), RunLog::new(&env));
        let mut logs = ContainerLogs { waiting: Some("ContainerCreating".into()), ..ContainerLogs::default() };
        let is = |found: Option<&Arc<RunLog>>, log: &Arc<RunLog>| found.is_some_and(|found| Arc::ptr_eq(found, log));
        assert!(logs.before().is_none());
        logs.next_run(first.clone());
        assert!(is(logs.current.as_ref(), &first) && logs.before().is_none());
        logs.waiting = Some("CrashLoopBackOff".into());
        assert!(is(logs.current.as_ref(), &first) && is(logs.before(), &first));
        logs.next_run(second.clone());
        assert!(is(logs.current.as_ref(), &second) && is(logs.before(), &first));
    }

    #[test]
    fn the_oldest_lines_go_and_long_ones_are_cut() {
        let log = RunLog::new(&Env::system());
        for i in 0..40_000 {
            log.write(Stream::Stdout, format!("line {i:040}\n").as_bytes());
        }
        let (lines, next) = log.read(0, usize::MAX);
        assert_eq!(next, 40_000);
        assert!(lines.len() < 15_000 && lines.len() > 5_000, "{}", lines.len());
        log.write(Stream::Stderr, &vec![b'x'; LOG_LINE_MAX * 5 + 1]);
        assert_eq!(log.read(40_000, 10).0.len(), 5, "the last byte has no end yet");
        log.finish();
        assert_eq!(log.read(40_000, 10).0.len(), 6);
    }
}
