//! Static bearer tokens from a file in kube-apiserver's format (`--token-auth-file`): one `token,user,uid[,"group,group"]`
//! a line.

use crate::authenticator::{Authenticated, Refused, TokenAuthenticator};
use crate::limits::TOKEN_FILE_MAX;
use crate::union::for_own;
use futures::future::{BoxFuture, FutureExt};
use sampan_api::user::UserInfo;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Tokens read once, at the start.
#[derive(Default)]
pub struct StaticTokens {
    users: HashMap<String, Arc<UserInfo>>,
    audiences: Vec<String>,
}

/// Tokens are secrets: only their number is shown.
impl std::fmt::Debug for StaticTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StaticTokens({})", self.users.len())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    #[error("the token file {path} cannot be read: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("the token file {path} is larger than {TOKEN_FILE_MAX} bytes")]
    TooLarge { path: PathBuf },
    #[error("line {line} of the token file: {problem}; it should be token,user,uid or token,user,uid,\"group,group\"")]
    Line { line: usize, problem: &'static str },
}

impl StaticTokens {
    pub fn from_file(path: &Path) -> Result<Self, TokenFileError> {
        let read = |error| TokenFileError::Read { path: path.to_owned(), error };
        if std::fs::metadata(path).map_err(read)?.len() > TOKEN_FILE_MAX {
            return Err(TokenFileError::TooLarge { path: path.to_owned() });
        }
        Self::parse(&std::fs::read_to_string(path).map_err(read)?)
    }

    /// Reads the lines. Of a token that stands in several the last one counts, and lines without one are passed over.
    pub fn parse(text: &str) -> Result<Self, TokenFileError> {
        let mut users = HashMap::new();
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let problem = |problem| TokenFileError::Line { line: i + 1, problem };
            let mut parts = line.trim().splitn(4, ',').map(str::trim);
            let (Some(token), Some(name), Some(uid)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(problem("it has fewer than three columns"));
            };
            if token.is_empty() {
                tracing::warn!(line = i + 1, "a line of the token file has no token, and is passed over");
                continue;
            }
            if name.is_empty() {
                return Err(problem("the user is empty"));
            }
            let groups = parts.next().unwrap_or_default().trim_matches('"');
            let groups = groups.split(',').map(str::trim).filter(|group| !group.is_empty());
            let mut user = UserInfo::new(name, groups);
            uid.clone_into(&mut user.uid);
            if users.insert(token.to_owned(), Arc::new(user)).is_some() {
                tracing::warn!(
                    line = i + 1,
                    "a token of the token file is that of an earlier line too: the last one counts"
                );
            }
        }
        Ok(Self { users, audiences: Vec::new() })
    }

    /// The audiences that the API server is: for these the tokens hold.
    pub fn for_audiences(mut self, audiences: Vec<String>) -> Self {
        self.audiences = audiences;
        self
    }

    pub fn insert(&mut self, token: String, user: UserInfo) {
        self.users.insert(token, Arc::new(user));
    }
}

impl TokenAuthenticator for StaticTokens {
    fn authenticate_token<'a>(
        &'a self,
        token: &'a str,
        audiences: &'a [String],
    ) -> BoxFuture<'a, Result<Option<Authenticated>, Refused>> {
        let found = self.users.get(token).cloned().and_then(|user| {
            let audiences = for_own(audiences, &self.audiences)?;
            Some(Authenticated { user, audiences, warning: None })
        });
        std::future::ready(Ok(found)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_and_faults_are_named() {
        let tokens = StaticTokens::parse("abc,alice,1,\"dev,ops\"\n\nxyz,bob,2\n").expect("valid");
        assert_eq!(tokens.users["abc"].groups, ["dev", "ops", "system:authenticated"]);
        assert_eq!(tokens.users["xyz"].uid, "2");
        assert_eq!(format!("{tokens:?}"), "StaticTokens(2)");
        let check = |text: &str, part: &str| {
            let error = StaticTokens::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        };
        check("abc,alice", "line 1");
        check("a,b,c\na,,c", "line 2");
        let tokens = StaticTokens::parse("abc,alice,1\n,nobody,2\nabc,bob,3\n").expect("valid");
        assert_eq!((tokens.users.len(), tokens.users["abc"].name.as_str()), (1, "bob"));
    }
}
