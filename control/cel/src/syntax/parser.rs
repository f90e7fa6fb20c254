//! The parser: recursive descent with a bound on its depth; one pass, no backtracking.

use super::ast::{Call, Element, Entry, Expr, Id, Kind, Literal, Member, Message, Select, Test};
use super::builder::{Builder, Macros, Stop};
use super::lexer::{Lexed, Lines, lex};
use super::token::Token;
use super::{literal, macros};
use crate::error::{Issue, Issues};
use crate::escape::RESERVED;
use crate::limits::{DEPTH_MAX, EXPRESSION_CHARS_MAX, NODES_MAX, SYNTAX_ERRORS_MAX};

/// A tree, and the place of each of its nodes.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) root: Expr,
    /// Characters before each node, by its number.
    places: Vec<usize>,
}

impl Parsed {
    /// How many numbers nodes have.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// An error at a node, of the text that was parsed.
    pub(crate) fn issues(&self, text: &str, problems: Vec<(Id, String)>) -> Issues {
        let lines = Lines::of(text);
        Issues::new(text, problems.into_iter().map(|(id, message)| lines.issue(self.places[id], message)).collect())
    }
}

/// The tree of a text, macros expanded.
pub(crate) fn parse(text: &str, macros: Macros) -> Result<Parsed, Issues> {
    let size = text.chars().count();
    let nowhere = |message: String| Issues::new(text, vec![Issue { line: 0, column: 0, message }]);
    if size > EXPRESSION_CHARS_MAX {
        return Err(nowhere(format!(
            "expression code point size exceeds limit: size: {size}, limit {EXPRESSION_CHARS_MAX}"
        )));
    }
    let lines = Lines::of(text);
    let (tokens, mut problems) = lex(text);
    let mut parser = Parser { tokens, at: 0, made: Builder { macros, ..Builder::default() }, depth: 0 };
    let root = parser.whole();
    problems.append(&mut parser.made.problems);
    let root = match root {
        Ok(root) if problems.is_empty() => root,
        Err(Stop::TooDeep) => return Err(nowhere(format!("expression recursion limit exceeded: {DEPTH_MAX}"))),
        Err(Stop::TooLarge) => {
            return Err(nowhere(format!("expression has more than {NODES_MAX} nodes when its macros are expanded")));
        }
        Ok(_) | Err(Stop::Syntax) => {
            problems.truncate(SYNTAX_ERRORS_MAX);
            return Err(Issues::new(text, problems.into_iter().map(|(at, text)| lines.issue(at, text)).collect()));
        }
    };
    if !within(&root, DEPTH_MAX + DEPTH_MAX / 4) {
        return Err(nowhere(format!("expression recursion limit exceeded: {DEPTH_MAX}")));
    }
    Ok(Parsed { root, places: parser.made.places })
}

/// Whether a tree has at most so many levels.
fn within(expr: &Expr, levels: usize) -> bool {
    let Some(levels) = levels.checked_sub(1) else { return false };
    match &expr.kind {
        Kind::Literal(_) | Kind::Ident(_) | Kind::Broken => true,
        Kind::Select(select) => within(&select.operand, levels),
        Kind::Call(call) => call.operands().all(|one| within(one, levels)),
        Kind::List(all) => all.iter().all(|one| within(&one.value, levels)),
        Kind::Map(all) => all.iter().all(|one| within(&one.key, levels) && within(&one.value, levels)),
        Kind::Struct(message) => message.fields.iter().all(|one| within(&one.value, levels)),
        Kind::Fold(fold) => [&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result]
            .into_iter()
            .all(|one| within(one, levels)),
    }
}

struct Parser<'a> {
    tokens: Vec<Lexed<'a>>,
    at: usize,
    made: Builder,
    depth: usize,
}

/// The tokens that an expression may begin with, as errors list them.
const BEGINNINGS: &str =
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/// Operators with the names of their functions, from those that bind least.
const OPERATORS: [&[(&str, &str)]; 5] = [
    &[("||", "_||_")],
    &[("&&", "_&&_")],
    &[("<=", "_<=_"), (">=", "_>=_"), ("==", "_==_"), ("!=", "_!=_"), ("<", "_<_"), (">", "_>_"), ("in", "@in")],
    &[("+", "_+_"), ("-", "_-_")],
    &[("*", "_*_"), ("/", "_/_"), ("%", "_%_")],
];
/// The first level of [`OPERATORS`] whose operators are calls one in the other.
const LEFT_ASSOCIATIVE: usize = 2;

impl<'a> Parser<'a> {
    fn peek(&self) -> Lexed<'a> {
        self.tokens[self.at]
    }

    fn second(&self) -> Token {
        self.tokens.get(self.at + 1).map_or(Token::End, |next| next.token)
    }

    fn advance(&mut self) -> Lexed<'a> {
        let token = self.peek();
        if token.token != Token::End {
            self.at += 1;
        }
        token
    }

    fn is(&self, word: &str) -> bool {
        matches!(self.peek().token, Token::Word(text) if text == word)
    }

    fn take(&mut self, word: &str) -> Option<Lexed<'a>> {
        if self.is(word) { Some(self.advance()) } else { None }
    }

    fn fail<T>(&mut self, message: String) -> Result<T, Stop> {
        self.made.problems.push((self.peek().at, format!("Syntax error: {message}")));
        Err(Stop::Syntax)
    }

    /// The closing token, or the error of the one that stands there.
    fn expect(&mut self, wanted: &'static str) -> Result<Lexed<'a>, Stop> {
        if let Some(token) = self.take(wanted) {
            return Ok(token);
        }
        let found = self.peek();
        let begins = match found.token {
            Token::Word(word) => ["[", "{", "(", ".", "-", "!", "true", "false", "null"].contains(&word),
            Token::End => false,
            _ => true,
        };
        let follows = begins == (wanted == ":");
        if matches!(self.second(), Token::Word(text) if text == wanted) {
            return self.fail(format!("extraneous input '{}' expecting '{wanted}'", found.shown()));
        }
        if follows {
            return self.fail(format!("missing '{wanted}' at '{}'", found.shown()));
        }
        self.fail(format!("mismatched input '{}' expecting '{wanted}'", found.shown()))
    }

    fn tell(&mut self, id: Id, message: impl Into<String>) -> Expr {
        self.made.tell(id, message)
    }

    fn node(&mut self, at: usize, kind: Kind) -> Expr {
        self.made.node(at, kind)
    }

    fn literal(&mut self, at: usize, value: Literal) -> Expr {
        self.node(at, Kind::Literal(value))
    }

    fn call(&mut self, at: usize, function: &str, target: Option<Expr>, args: Vec<Expr>) -> Result<Expr, Stop> {
        self.made.room()?;
        macros::expand(&mut self.made, at, Call { function: function.into(), target, args })
    }

    fn whole(&mut self) -> Result<Expr, Stop> {
        let root = self.expr()?;
        let found = self.peek();
        if found.token == Token::End {
            return Ok(root);
        }
        let how = if self.second() == Token::End { "extraneous" } else { "mismatched" };
        self.fail(format!("{how} input '{}' expecting <EOF>", found.shown()))
    }

    fn expr(&mut self) -> Result<Expr, Stop> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Stop::TooDeep);
        }
        let condition = self.binary(0)?;
        let whole = match self.take("?") {
            None => condition,
            Some(op) => {
                let yes = self.binary(0)?;
                self.expect(":")?;
                let no = self.expr()?;
                self.call(op.at, "_?_:_", None, vec![condition, yes, no])?
            }
        };
        self.depth -= 1;
        Ok(whole)
    }

    /// The operator that stands here, if it binds at least so closely.
    fn operator(&self, least: usize) -> Option<(usize, &'static str, &'static str)> {
        let Token::Word(word) = self.peek().token else { return None };
        let mut levels = OPERATORS.iter().enumerate().skip(least);
        levels.find_map(|(level, all)| {
            all.iter().find(|(text, _)| *text == word).map(|(text, name)| (level, *text, *name))
        })
    }

    /// Operators that bind at least as closely as those of a level, by climbing: few frames of the stack for each
    /// pair of parentheses.
    fn binary(&mut self, least: usize) -> Result<Expr, Stop> {
        let mut left = self.unary()?;
        let mut levels = 0;
        while let Some((level, word, function)) = self.operator(least) {
            if level < LEFT_ASSOCIATIVE {
                left = self.logic(left, level, word, function)?;
                continue;
            }
            let at = self.advance().at;
            levels += 1;
            if self.depth + levels > DEPTH_MAX {
                return Err(Stop::TooDeep);
            }
            let right = self.binary(level + 1)?;
            left = self.call(at, function, None, vec![left, right])?;
        }
        Ok(left)
    }

    /// Terms of `||` or of `&&`, as a balanced tree.
    fn logic(&mut self, first: Expr, level: usize, word: &'static str, function: &'static str) -> Result<Expr, Stop> {
        let mut terms = vec![Some(first)];
        let mut places = Vec::new();
        while let Some(op) = self.take(word) {
            places.push(op.at);
            terms.push(Some(self.binary(level + 1)?));
        }
        Ok(self.balance(function, &places, &mut terms))
    }

    fn balance(&mut self, function: &'static str, places: &[usize], terms: &mut [Option<Expr>]) -> Expr {
        if places.is_empty() {
            return terms[0].take().unwrap_or(Expr { id: 0, kind: Kind::Broken });
        }
        let mid = places.len() / 2;
        let (left, right) = terms.split_at_mut(mid + 1);
        let left = self.balance(function, &places[..mid], left);
        let right = self.balance(function, &places[mid + 1..], right);
        let call = Call { function: function.into(), target: None, args: vec![left, right] };
        self.node(places[mid], Kind::Call(Box::new(call)))
    }

    fn unary(&mut self) -> Result<Expr, Stop> {
        for (word, function) in [("!", "!_"), ("-", "-_")] {
            let first = self.peek().at;
            let mut count = 0;
            while self.is(word) {
                if word == "-" && count == 0 && matches!(self.second(), Token::Int | Token::Float) {
                    break;
                }
                self.advance();
                count += 1;
            }
            if count == 0 {
                continue;
            }
            let operand = self.member()?;
            if count % 2 == 0 {
                return Ok(operand);
            }
            return self.call(first, function, None, vec![operand]);
        }
        self.member()
    }

    fn member(&mut self) -> Result<Expr, Stop> {
        let mut operand = self.primary()?;
        let mut levels = 0;
        loop {
            levels += 1;
            if self.depth + levels > DEPTH_MAX {
                return Err(Stop::TooDeep);
            }
            if let Some(dot) = self.take(".") {
                operand = self.selection(dot, operand)?;
            } else if let Some(open) = self.take("[") {
                let function = if self.take("?").is_some() { "_[?_]" } else { "_[_]" };
                let index = self.expr()?;
                self.expect("]")?;
                operand = self.call(open.at, function, None, vec![operand, index])?;
            } else {
                return Ok(operand);
            }
        }
    }

    /// What follows a dot.
    fn selection(&mut self, dot: Lexed<'a>, operand: Expr) -> Result<Expr, Stop> {
        let optional = self.take("?").is_some();
        let name = self.peek();
        match name.token {
            Token::Ident => {}
            Token::Escaped => {
                self.made.problems.push((name.at, "unsupported syntax: '`'".into()));
                return Err(Stop::Syntax);
            }
            Token::End => return self.fail(format!("no viable alternative at input '{}'", dot.text)),
            _ => return self.fail(format!("no viable alternative at input '{}{}'", dot.text, name.shown())),
        }
        self.advance();
        if optional {
            let field = self.literal(name.at, Literal::String(name.text.into()));
            return self.call(dot.at, "_?._", None, vec![operand, field]);
        }
        match self.take("(") {
            Some(open) => {
                let args = self.arguments()?;
                self.call(open.at, name.text, Some(operand), args)
            }
            None => {
                let select = Select { operand, field: name.text.into(), test: Test::Value };
                Ok(self.node(dot.at, Kind::Select(Box::new(select))))
            }
        }
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, Stop> {
        let mut args = Vec::new();
        if self.take(")").is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expr()?);
            if self.take(",").is_none() {
                self.expect(")")?;
                return Ok(args);
            }
        }
    }

    fn primary(&mut self) -> Result<Expr, Stop> {
        let first = self.peek();
        match first.token {
            Token::Word("(") => {
                self.advance();
                let inner = self.expr()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Word("[") => self.list(),
            Token::Word("{") => self.map(),
            Token::Word("true" | "false") => {
                self.advance();
                Ok(self.literal(first.at, Literal::Bool(first.text == "true")))
            }
            Token::Word("null") => {
                self.advance();
                Ok(self.literal(first.at, Literal::Null))
            }
            Token::Word("-") | Token::Int | Token::Uint | Token::Float => self.number(),
            Token::String | Token::Bytes => Ok(self.quoted()),
            Token::Ident | Token::Word(".") => self.name(),
            _ => {
                let next = matches!(
                    self.second(),
                    Token::Int | Token::Uint | Token::Float | Token::String | Token::Bytes | Token::Ident
                ) || matches!(
                    self.second(),
                    Token::Word("[" | "{" | "(" | "." | "-" | "!" | "true" | "false" | "null")
                );
                let how = if next { "extraneous" } else { "mismatched" };
                self.fail(format!("{how} input '{}' expecting {BEGINNINGS}", first.shown()))
            }
        }
    }

    fn number(&mut self) -> Result<Expr, Stop> {
        let first = self.peek();
        let negative = self.take("-").is_some();
        let number = self.peek();
        let sign = if negative { "-" } else { "" };
        let hex = number.text.strip_prefix("0x");
        let (digits, radix) = hex.map_or((number.text, 10), |digits| (digits, 16));
        let value = match number.token {
            Token::Int => i64::from_str_radix(&format!("{sign}{digits}"), radix).ok().map(Literal::Int),
            Token::Uint => u64::from_str_radix(&digits[..digits.len() - 1], radix).ok().map(Literal::Uint),
            Token::Float => {
                let value = format!("{sign}{digits}").parse::<f64>().ok();
                value.filter(|value| value.is_finite()).map(Literal::Double)
            }
            _ => return self.fail(format!("no viable alternative at input '-{}'", number.shown())),
        };
        self.advance();
        let kind = match number.token {
            Token::Int => "int",
            Token::Uint => "uint",
            _ => "double",
        };
        Ok(match value {
            Some(value) => self.literal(first.at, value),
            None => {
                let broken = self.node(first.at, Kind::Broken);
                self.tell(broken.id, format!("invalid {kind} literal"))
            }
        })
    }

    fn quoted(&mut self) -> Expr {
        let token = self.advance();
        let value = match token.token {
            Token::Bytes => literal::bytes(&token.text[1..]).map(|bytes| Literal::Bytes(bytes.into())),
            _ => literal::text(token.text).map(|text| Literal::String(text.into())),
        };
        match value {
            Ok(value) => self.literal(token.at, value),
            Err(message) => {
                let broken = self.node(token.at, Kind::Broken);
                self.tell(broken.id, message)
            }
        }
    }

    /// A name, a call of a function, or a message.
    fn name(&mut self) -> Result<Expr, Stop> {
        let first = self.peek();
        let dot = self.take(".").map_or("", |_| ".");
        let name = self.peek();
        if name.token != Token::Ident {
            return self.fail(format!("no viable alternative at input '.{}'", name.shown()));
        }
        if self.begins_message() {
            return self.message(dot);
        }
        self.advance();
        if RESERVED.contains(&name.text) {
            let broken = self.node(first.at, Kind::Broken);
            let broken = self.tell(broken.id, format!("reserved identifier: {}", name.text));
            if self.take("(").is_some() {
                self.arguments()?;
            }
            return Ok(broken);
        }
        let full = format!("{dot}{}", name.text);
        match self.take("(") {
            Some(open) => {
                let args = self.arguments()?;
                self.call(open.at, &full, None, args)
            }
            None => Ok(self.node(name.at, Kind::Ident(full.into()))),
        }
    }

    /// Whether the names from here on lead to a brace.
    fn begins_message(&self) -> bool {
        let mut at = self.at;
        loop {
            match (self.tokens[at].token, self.tokens.get(at + 1).map(|next| next.token)) {
                (Token::Ident, Some(Token::Word("{"))) => return true,
                (Token::Ident, Some(Token::Word("."))) => at += 2,
                _ => return false,
            }
        }
    }

    fn message(&mut self, dot: &str) -> Result<Expr, Stop> {
        let mut name = dot.to_owned();
        while !self.is("{") {
            name.push_str(self.advance().text);
        }
        let open = self.expect("{")?;
        let mut fields = Vec::new();
        while !self.is("}") {
            let optional = self.take("?").is_some();
            let field = self.peek();
            if field.token != Token::Ident {
                return self.fail(format!("mismatched input '{}' expecting '}}'", field.shown()));
            }
            self.advance();
            let colon = self.expect(":")?;
            let id = self.node(colon.at, Kind::Broken).id;
            fields.push(Member { id, name: field.text.into(), value: self.expr()?, optional });
            if self.take(",").is_none() {
                break;
            }
        }
        self.expect("}")?;
        Ok(self.node(open.at, Kind::Struct(Box::new(Message { name: name.into(), fields }))))
    }

    fn list(&mut self) -> Result<Expr, Stop> {
        let open = self.advance();
        let mut elements = Vec::new();
        while !self.is("]") {
            let optional = self.take("?").is_some();
            elements.push(Element { value: self.expr()?, optional });
            if self.take(",").is_none() {
                self.closing("]", "{']', ','}")?;
                break;
            }
        }
        self.expect("]")?;
        Ok(self.node(open.at, Kind::List(elements)))
    }

    fn map(&mut self) -> Result<Expr, Stop> {
        let open = self.advance();
        let mut entries = Vec::new();
        while !self.is("}") {
            let optional = self.take("?").is_some();
            let key = self.expr()?;
            self.expect(":")?;
            entries.push(Entry { key, value: self.expr()?, optional });
            if self.take(",").is_none() {
                self.closing("}", "{'}', ','}")?;
                break;
            }
        }
        self.expect("}")?;
        Ok(self.node(open.at, Kind::Map(entries)))
    }

    /// An error where neither another element nor the end follows.
    fn closing(&mut self, wanted: &str, expected: &str) -> Result<(), Stop> {
        if self.is(wanted) {
            return Ok(());
        }
        let found = self.peek();
        let next = matches!(self.second(), Token::Word(text) if text == wanted || text == ",");
        let how = if next { "extraneous" } else { "mismatched" };
        self.fail(format!("{how} input '{}' expecting {expected}", found.shown()))
    }
}
