//! The output of containers: bounded lines with their times, for readers now and later. A writer never waits.

use crate::limits::{LOG_BYTES_MAX, LOG_PIECE_MAX};
use parking_lot::Mutex;
use sampan_env::Env;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;

/// One line without its end, or a piece of a long one (CRI's tags F and P).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Time of the line.
    pub time: SystemTime,
    /// Without its end; bytes as the container wrote them.
    pub text: Box<[u8]>,
    /// Whether the line ends here: a piece has another behind it, and the last words of a container may have no end.
    pub ended: bool,
}

impl Line {
    /// As it was written, its end included.
    fn bytes(&self) -> u64 {
        self.text.len() as u64 + u64::from(self.ended)
    }
}

/// A reader's place in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Lines and pieces before it, from the beginning of the run.
    line: u64,
    /// Bytes before it.
    byte: u64,
}

/// The lines that a reader finds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Bytes that were dropped between the reader's position and the first of `lines`.
    pub dropped: u64,
    /// In the order in which they were written.
    pub lines: Vec<Line>,
}

#[derive(Default)]
struct Lines {
    lines: VecDeque<Line>,
    bytes: usize,
    /// The place of the first line that is kept.
    first: Position,
    /// Bytes of all that was ever kept.
    end: u64,
    /// Begun, not ended, for each of stdout and stderr.
    open: [Vec<u8>; 2],
}

/// The log of one run of one container.
pub struct RunLog {
    env: Env,
    lines: Mutex<Lines>,
    /// Number of lines that there have been, and whether the run is over.
    seen: watch::Sender<(u64, bool)>,
}

/// The output that a container wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl RunLog {
    /// An empty log whose lines get their times from `env`.
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
            while open.len() > LOG_PIECE_MAX {
                let rest = open.split_off(LOG_PIECE_MAX);
                lines.push(Line { time: now, text: std::mem::replace(&mut open, rest).into(), ended: false });
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
        let count = lines.first.line + lines.lines.len() as u64;
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

    /// The lines after `position`, at most `at_most` lines and pieces. The position is moved behind them.
    pub fn read(&self, position: &mut Position, at_most: usize) -> Found {
        let lines = self.lines.lock();
        let mut found = Found::default();
        if position.line < lines.first.line {
            found.dropped = lines.first.byte.saturating_sub(position.byte);
            *position = lines.first;
        }
        let skip = usize::try_from(position.line - lines.first.line).unwrap_or(usize::MAX);
        found.lines = lines.lines.iter().skip(skip).take(at_most).cloned().collect();
        position.line += found.lines.len() as u64;
        position.byte += found.lines.iter().map(Line::bytes).sum::<u64>();
        found
    }

    /// Bytes of memory that the log takes now.
    pub fn held(&self) -> u64 {
        /// Growth of the queue of lines, which doubles: bytes beside those that are counted.
        const LINE_GROWTH: usize = 64;
        let lines = self.lines.lock();
        let open: usize = lines.open.iter().map(Vec::capacity).sum();
        (lines.bytes + lines.lines.len() * LINE_GROWTH + open) as u64
    }

    /// The place where the last `tail` whole lines begin.
    pub fn tail(&self, tail: usize) -> Position {
        let lines = self.lines.lock();
        let mut position = Position { line: lines.first.line + lines.lines.len() as u64, byte: lines.end };
        let mut left = tail;
        for (index, line) in lines.lines.iter().enumerate().rev() {
            // The end of a line opens the one behind it.
            let of_last = index + 1 == lines.lines.len();
            if line.ended || of_last {
                if left == 0 {
                    break;
                }
                left -= 1;
            }
            position.line -= 1;
            position.byte -= line.bytes();
        }
        position
    }

    /// The last lines as text, bounded by their number and their bytes.
    pub fn last_text(&self, lines: usize, bytes: usize) -> String {
        let mut text = Vec::new();
        for line in self.read(&mut self.tail(lines), usize::MAX).lines {
            text.extend_from_slice(&line.text);
            text.extend(line.ended.then_some(b'\n'));
        }
        let from = text.len().saturating_sub(bytes);
        String::from_utf8_lossy(&text[from..]).into_owned()
    }

    /// Changes when there are more lines or the run is over.
    pub fn seen(&self) -> watch::Receiver<(u64, bool)> {
        self.seen.subscribe()
    }
}

impl Lines {
    fn push(&mut self, line: Line) {
        /// Bytes of a line beside its text.
        const LINE_OVERHEAD: usize = 48;
        self.bytes += line.text.len() + LINE_OVERHEAD;
        self.end += line.bytes();
        self.lines.push_back(line);
        while self.bytes > LOG_BYTES_MAX {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= oldest.text.len() + LINE_OVERHEAD;
            self.first.line += 1;
            self.first.byte += oldest.bytes();
        }
    }
}

/// The logs of a container: the latest run's and the one's before.
#[derive(Clone, Default)]
pub struct ContainerLogs {
    /// The latest run's; None: none has begun.
    pub current: Option<Arc<RunLog>>,
    /// That of the run before the latest.
    pub previous: Option<Arc<RunLog>>,
    /// The reason for which it waits for its next run; None: the latest run is the one that its state tells of.
    pub waiting: Option<String>,
}

impl ContainerLogs {
    /// From here on `log` is the latest run's, and the one before it is over.
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
        let found = log.read(&mut Position::default(), usize::MAX);
        found.lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
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
        assert_eq!(log.tail(1), Position { line: 3, byte: 9 });
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
    fn the_oldest_lines_go_and_how_much_is_told() {
        let log = RunLog::new(&Env::system());
        let line = |i: usize| format!("line {i:040}\n");
        for i in 0..40_000 {
            log.write(Stream::Stdout, line(i).as_bytes());
        }
        let mut position = Position::default();
        let found = log.read(&mut position, usize::MAX);
        assert!(found.lines.len() < 15_000 && found.lines.len() > 5_000, "{}", found.lines.len());
        let kept: u64 = found.lines.iter().map(Line::bytes).sum();
        assert_eq!(found.dropped + kept, 40_000 * line(0).len() as u64);
        assert_eq!(position, Position { line: 40_000, byte: found.dropped + kept });
        // One that had read all of it and one that begins near the end miss nothing.
        log.write(Stream::Stdout, b"more\n");
        for mut position in [position, log.tail(3)] {
            assert_eq!(log.read(&mut position, usize::MAX).dropped, 0);
        }
        // One that followed and was overtaken misses what came between.
        for i in 0..40_000 {
            log.write(Stream::Stdout, line(i).as_bytes());
        }
        let found = log.read(&mut position, usize::MAX);
        let kept: u64 = found.lines.iter().map(Line::bytes).sum();
        assert_eq!(found.dropped + kept, 5 + 40_000 * line(0).len() as u64);
    }

    #[test]
    fn what_was_written_is_read_byte_for_byte_however_long_its_lines_are() {
        let lengths =
            [0, 1, LOG_PIECE_MAX - 1, LOG_PIECE_MAX, LOG_PIECE_MAX + 1, 2 * LOG_PIECE_MAX, 5 * LOG_PIECE_MAX + 7];
        for length in lengths {
            for end in ["", "\n", "\nnext\n", "\n\n"] {
                let written = format!("{}{end}", "x".repeat(length));
                for chunk in [1 << 20, 4096, 1000] {
                    let log = RunLog::new(&Env::system());
                    for part in written.as_bytes().chunks(chunk) {
                        log.write(Stream::Stdout, part);
                    }
                    log.finish();
                    let mut read = Vec::new();
                    for line in log.read(&mut Position::default(), usize::MAX).lines {
                        assert!(line.text.len() <= LOG_PIECE_MAX);
                        read.extend_from_slice(&line.text);
                        read.extend(line.ended.then_some(b'\n'));
                    }
                    assert!(read == written.as_bytes(), "{length} {end:?} {chunk}: {}", read.len());
                }
            }
        }
    }

    #[test]
    fn a_tail_counts_lines_and_not_their_pieces() {
        let log = RunLog::new(&Env::system());
        log.write(Stream::Stdout, format!("first\n{}\nlast\n", "x".repeat(3 * LOG_PIECE_MAX)).as_bytes());
        let bytes = |tail: usize| {
            let found = log.read(&mut log.tail(tail), usize::MAX);
            found.lines.iter().map(Line::bytes).sum::<u64>()
        };
        let long = 3 * LOG_PIECE_MAX as u64 + 1;
        assert_eq!([0, 1, 2, 3, 9].map(bytes), [0, 5, 5 + long, 6 + 5 + long, 6 + 5 + long]);
    }
}
