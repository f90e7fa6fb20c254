//! Core modules of WASI preview 1, written by hand: what no toolchain makes.

pub fn leb(mut n: usize, out: &mut Vec<u8>) {
    loop {
        let byte = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

fn section(id: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(id);
    leb(content.len(), out);
    out.extend_from_slice(content);
}

/// A module that exports its first function as `_start`.
pub struct Module {
    pub functions: usize,
    /// Of each function; without its `end`.
    pub body: Vec<u8>,
    /// The type of each memory: flags and the least number of pages.
    pub memories: Vec<[u8; 2]>,
    /// Whether there is a table, of no elements and without a bound.
    pub table: bool,
}

impl Default for Module {
    fn default() -> Self {
        Self { functions: 1, body: Vec::new(), memories: vec![[0, 1]], table: false }
    }
}

impl Module {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = b"\0asm\x01\0\0\0".to_vec();
        section(1, &[1, 0x60, 0, 0], &mut out);
        let mut types = Vec::new();
        leb(self.functions, &mut types);
        types.resize(types.len() + self.functions, 0);
        section(3, &types, &mut out);
        if self.table {
            section(4, &[1, 0x70, 0, 0], &mut out);
        }
        let mut memories = Vec::new();
        leb(self.memories.len(), &mut memories);
        memories.extend(self.memories.iter().flatten());
        section(5, &memories, &mut out);
        section(7, b"\x02\x06_start\0\0\x06memory\x02\0", &mut out);
        let mut code = Vec::new();
        leb(self.functions, &mut code);
        for _ in 0..self.functions {
            leb(self.body.len() + 2, &mut code);
            code.push(0);
            code.extend_from_slice(&self.body);
            code.push(0x0b);
        }
        section(10, &code, &mut out);
        out
    }
}

/// Loops within loops, each with a branch to every level: quadratic for the compiler.
pub fn nested_loops(depth: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..depth {
        body.extend_from_slice(&[0x03, 0x40]);
    }
    for level in 0..depth {
        body.extend_from_slice(&[0x41, 0, 0x0d]);
        leb(level, &mut body);
    }
    body.resize(body.len() + depth, 0x0b);
    Module { body, ..Module::default() }.encode()
}
