//! What `sampan up` tells on its way: lines for people on standard error, or events for machines, a line of JSON each, on
//! standard output. A reader that went away, as a terminal that was closed, stops nothing.

use sampan_api::Object;
use sampan_cli::session::say;
use sampan_env::Env;
use serde_json::{Value, json};
use std::io::Write;

/// For whom progress is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Tells progress, with the time since the start.
pub struct Report {
    env: Env,
    began: tokio::time::Instant,
    form: Form,
}

/// The state of an applied object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Applied: created, configured or unchanged, as the message says.
    Applied,
    /// Something is missing still.
    Waiting,
    /// All is as its spec says.
    Ready,
    /// Stored, and nothing acts on its kind.
    Kept,
    /// Refused by the server, or it will not become ready by itself.
    Failed,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Kept => "kept",
            Self::Failed => "failed",
        }
    }
}

impl Report {
    /// The time begins now.
    pub fn new(form: Form, env: &Env) -> Self {
        Self { env: env.clone(), began: env.instant(), form }
    }

    /// Whether people read it.
    pub fn is_text(&self) -> bool {
        self.form == Form::Text
    }

    /// One step.
    pub fn step(&self, what: &str) {
        self.tell(what, json!({"event": "step", "message": what}));
    }

    /// What became of an object. People hear of those that failed when all have been looked at.
    pub fn object(&self, object: &Object, state: State, message: &str) {
        let name = format!("{} {}", object.kind().to_lowercase(), object.name());
        let text = match state {
            State::Applied | State::Ready => format!("{name} {message}"),
            State::Waiting | State::Kept => format!("{name}: {message}"),
            State::Failed if self.is_text() => return,
            State::Failed => String::new(),
        };
        let event = json!({
            "event": "object",
            "apiVersion": object.api_version(),
            "kind": object.kind(),
            "namespace": object.namespace(),
            "name": object.name(),
            "state": state.as_str(),
            "message": message,
        });
        self.tell(&text, event);
    }

    /// An event for machines alone.
    pub fn event(&self, event: &Value) {
        if self.form == Form::Json {
            print(&format!("{event}\n"));
        }
    }

    /// A text for people alone.
    pub fn text(&self, text: &str) {
        if self.form == Form::Text {
            print(text);
        }
    }

    /// Something that went wrong.
    pub fn error(&self, message: &str) {
        match self.form {
            Form::Text => to_stderr(&format!("sampan: {message}\n")),
            Form::Json => print(&format!("{}\n", json!({"event": "error", "message": message}))),
        }
    }

    fn tell(&self, text: &str, mut event: Value) {
        let elapsed = self.env.instant().duration_since(self.began).as_secs_f64() * 1000.0;
        match self.form {
            Form::Text => to_stderr(&format!("{elapsed:>7.1} ms  {text}\n")),
            Form::Json => {
                event["afterMs"] = elapsed.into();
                print(&format!("{event}\n"));
            }
        }
    }
}

/// Nobody is left to be told where this cannot be written either.
fn to_stderr(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}

fn print(text: &str) {
    if let Err(error) = say(text) {
        to_stderr(&format!("sampan: {error:#}\n"));
    }
}
