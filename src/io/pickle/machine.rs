//! The stack machine that runs pickles.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Global, Heap, Value};
use crate::io::budget::Budget;

/// Maximum number of values that a pickle may create or memoize, far more than any state dict has.
const MOST: usize = 1 << 19;
/// Bytes charged for a value in the memo, or in a tuple. Tables grow by doubling.
const VALUE: usize = 160;
/// Bytes charged for a value and a mark on their stacks, which also grow by doubling.
const STACKED: usize = 4 * size_of::<Value>();

struct Machine<'a, 'b, const ALL: bool> {
    /// The rest of the program.
    rest: &'a [u8],
    stack: Vec<Value<'a>>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    heap: Heap<'a>,
    /// Number of values that may still be created or memoized.
    room: usize,
    /// Maximum height of the stack or the marks so far.
    tallest: usize,
    /// Whether the pickle lies inside another one.
    is_inner: bool,
    budget: &'b mut Budget,
}

/// The value of a pickle, the arena of its objects, and the bytes after the pickle.
type Loaded<'a> = (Value<'a>, Heap<'a>, &'a [u8]);

/// Runs the pickle at the start of `bytes`. A pickle that lies inside another one must not contain further ones, so
/// that nothing recurses.
///
/// # Errors
/// The reason why the pickle was rejected.
pub(in crate::io) fn load<'a, const ALL: bool>(
    bytes: &'a [u8],
    budget: &mut Budget,
    is_inner: bool,
) -> Result<Loaded<'a>, String> {
    let (stack, marks, memo, heap) = (Vec::new(), Vec::new(), HashMap::new(), Heap::default());
    let mut machine =
        Machine::<ALL> { rest: bytes, stack, marks, memo, heap, room: MOST, tallest: 0, is_inner, budget };
    loop {
        let code = machine.u8()?;
        if code == b'.' {
            let value = machine.pop()?;
            return Ok((value, machine.heap, machine.rest));
        }
        machine.step(code)?;
        let height = machine.stack.len().max(machine.marks.len());
        if height > machine.tallest {
            if height > MOST || !machine.budget.allows((height - machine.tallest) * STACKED) {
                return Err(format!("the pickle pushes more than {MOST} values, or too many for a file of this size"));
            }
            machine.tallest = height;
        }
    }
}

impl<'a, const ALL: bool> Machine<'a, '_, ALL> {
    /// Runs one instruction.
    fn step(&mut self, code: u8) -> Result<(), String> {
        match code {
            // PROTO, FRAME
            0x80 => return self.protocol(),
            0x95 => drop(self.take(8)?),
            // MARK, POP, POP_MARK, DUP
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => self.push(self.top()?),
            // NONE, NEWTRUE, NEWFALSE
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' | b'K' | b'M' | 0x8a | 0x8b | b'G' => return self.number(code),
            b'X' | 0x8c | 0x8d | b'U' | b'T' | b'C' | b'B' | 0x8e | 0x96 => return self.text(code),
            b']' | b')' | b't' | 0x85..=0x87 | b'l' => return self.sequence(code),
            b'}' | b'd' | b's' | b'u' => return self.mapping(code),
            // APPEND, APPENDS
            b'a' => {
                let item = self.pop()?;
                return self.append(&[item]);
            }
            b'e' => {
                let items = self.pop_mark()?;
                return self.append(&items);
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => return self.memo(code),
            // EMPTY_SET, ADDITEMS, FROZENSET, READONLY_BUFFER
            0x8f if ALL => return self.foreign(),
            0x90 if ALL => drop(self.pop_mark()?),
            0x91 if ALL => {
                self.pop_mark()?;
                self.push(Value::Opaque);
            }
            0x98 if ALL => {}
            // GLOBAL, STACK_GLOBAL
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                return self.global(module, name);
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => return self.global(module, name),
                _ => return Err("a global whose name is not a string".into()),
            },
            b'Q' => {
                let id = self.pop()?;
                self.spend(1)?;
                let value = match id {
                    // Tar files refer to tensors by key.
                    Value::Text(key) if ALL && !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()) => {
                        Value::Named(key.parse().map_err(|_| "a persistent id that is too large")?)
                    }
                    id => self.heap.persistent(id)?,
                };
                self.push(value);
            }
            b'b' => return self.build(),
            b'R' => return self.call(code),
            0x81 | 0x92 | b'o' | b'i' if ALL => return self.call(code),
            _ => {
                return Err(format!(
                    "the pickle instruction {code:#04x} is not supported, because tensors do not need it"
                ));
            }
        }
        Ok(())
    }

    fn protocol(&mut self) -> Result<(), String> {
        match self.u8()? {
            2..=5 => Ok(()),
            other => Err(format!("pickle protocol {other}; expected 2 to 5")),
        }
    }

    /// BININT, BININT1, BININT2, LONG1, LONG4, BINFLOAT.
    fn number(&mut self, code: u8) -> Result<(), String> {
        let value = match code {
            b'J' => Value::Int(i32::from_le_bytes(self.array()?) as i64),
            b'K' => Value::Int(self.u8()? as i64),
            b'M' => Value::Int(u16::from_le_bytes(self.array()?) as i64),
            b'G' => Value::Float(f64::from_be_bytes(self.array()?)),
            _ => {
                let len = if code == 0x8a { self.u8()? as usize } else { u32::from_le_bytes(self.array()?) as usize };
                long(self.take(len)?)
            }
        };
        self.push(value);
        Ok(())
    }

    /// BINUNICODE, SHORT_BINUNICODE, BINUNICODE8, SHORT_BINSTRING, BINSTRING, SHORT_BINBYTES, BINBYTES, BINBYTES8,
    /// BYTEARRAY8.
    fn text(&mut self, code: u8) -> Result<(), String> {
        let len = match code {
            0x8c | b'U' | b'C' => self.u8()? as u64,
            0x8d | 0x8e | 0x96 => u64::from_le_bytes(self.array()?),
            _ => u32::from_le_bytes(self.array()?) as u64,
        };
        let bytes = self.take(usize::try_from(len).unwrap_or(usize::MAX))?;
        let value = match (code, std::str::from_utf8(bytes)) {
            (b'X' | 0x8c | 0x8d, Err(_)) => return Err("a string that is not UTF-8".into()),
            (b'X' | 0x8c | 0x8d | b'U' | b'T', Ok(text)) => Value::Text(text),
            _ if !ALL => Value::Opaque,
            // Strings of Python 2 are bytes.
            _ => {
                self.spend(1)?;
                self.heap.add_bytes(Cow::Borrowed(bytes))
            }
        };
        self.push(value);
        Ok(())
    }

    /// EMPTY_LIST, EMPTY_TUPLE, TUPLE, TUPLE1 to TUPLE3, LIST.
    fn sequence(&mut self, code: u8) -> Result<(), String> {
        let items = match code {
            b']' | b')' => Vec::new(),
            b't' | b'l' => self.pop_mark()?,
            _ => self.pop_many((code - 0x84) as usize)?,
        };
        self.spend(1 + items.len())?;
        self.heap.items.push(items);
        let id = self.heap.items.len() - 1;
        self.push(if matches!(code, b']' | b'l') { Value::List(id) } else { Value::Tuple(id) });
        Ok(())
    }

    /// EMPTY_DICT, DICT, SETITEM, SETITEMS.
    fn mapping(&mut self, code: u8) -> Result<(), String> {
        let items = match code {
            b'}' => Vec::new(),
            b's' => self.pop_many(2)?,
            _ => self.pop_mark()?,
        };
        if items.len() % 2 != 0 {
            return Err("a dict with a key but no value".into());
        }
        self.spend(1 + items.len())?;
        let pairs = items.chunks_exact(2).map(|p| (p[0], p[1]));
        if matches!(code, b'}' | b'd') {
            let dict = self.heap.dict(pairs.collect());
            self.push(dict);
            return Ok(());
        }
        match self.top()? {
            Value::Dict(id) | Value::Object(id) => {
                self.heap.pairs[id].extend(pairs);
                Ok(())
            }
            _ => Err("entries for a value that is not a dict".into()),
        }
    }

    fn append(&mut self, items: &[Value<'a>]) -> Result<(), String> {
        self.spend(items.len())?;
        match self.top()? {
            Value::List(id) => {
                self.heap.items[id].extend(items);
                Ok(())
            }
            // A list of a foreign class, by index.
            Value::Object(id) if ALL => {
                let pairs = &mut self.heap.pairs[id];
                let first = pairs.len() as i64;
                pairs.extend((first..).map(Value::Int).zip(items.iter().copied()));
                Ok(())
            }
            _ => Err("items for a value that is not a list".into()),
        }
    }

    /// BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET.
    fn memo(&mut self, code: u8) -> Result<(), String> {
        let key = match code {
            b'q' | b'h' => self.u8()? as u32,
            b'r' | b'j' => u32::from_le_bytes(self.array()?),
            _ => self.memo.len() as u32,
        };
        if matches!(code, b'h' | b'j') {
            let value = self.memo.get(&key).ok_or_else(|| format!("memo {key} was never set"))?;
            self.stack.push(*value);
            return Ok(());
        }
        self.spend(1)?;
        self.memo.insert(key, self.top()?);
        Ok(())
    }

    fn global(&mut self, module: &'a str, name: &'a str) -> Result<(), String> {
        let global = Global::find::<ALL>(module, name).ok_or_else(|| {
            format!(
                "refers to \"{}.{}\", which tensors do not need, so it was not executed; TensorFile::import reads the \
                 tensors of such a file",
                module.escape_debug(),
                name.escape_debug()
            )
        })?;
        if ALL
            && global == Global::Foreign
            && self.heap.foreign.len() < 3
            && !self.heap.foreign.contains(&(module, name))
        {
            self.heap.foreign.push((module, name));
        }
        self.push(if global == Global::Dtype { Value::Opaque } else { Value::Global(global) });
        Ok(())
    }

    /// Pushes an object of a foreign class.
    fn foreign(&mut self) -> Result<(), String> {
        self.spend(1)?;
        let object = self.heap.object();
        self.push(object);
        Ok(())
    }

    /// REDUCE, NEWOBJ, NEWOBJ_EX, OBJ, INST.
    fn call(&mut self, code: u8) -> Result<(), String> {
        if ALL && code == b'i' {
            let (module, name) = (self.line()?, self.line()?);
            self.global(module, name)?;
            self.pop()?;
        }
        if ALL && matches!(code, b'i' | b'o') {
            self.pop_mark()?;
            return self.foreign();
        }
        if ALL && code == 0x92 {
            self.pop()?;
        }
        let argument = self.pop()?;
        self.spend(1)?;
        let value = match (self.top()?, argument) {
            (Value::Object(_) | Value::Opaque, Value::Tuple(_)) if ALL => self.heap.object(),
            (Value::Global(global), Value::Tuple(args)) => {
                // Copies are charged, because a pickle may pass the same list many times.
                let args = self.heap.items(args).to_vec();
                let copied = |v: &Value| match v {
                    Value::List(id) | Value::Tuple(id) => 1 + self.heap.items(*id).len(),
                    _ => 1,
                };
                self.spend(args.iter().map(copied).fold(0, usize::saturating_add))?;
                match (global, &args[..]) {
                    (Global::LoadFromBytes, [Value::Bytes(id)]) if ALL && !self.is_inner => {
                        self.allow(self.heap.bytes(*id).len())?;
                        self.heap.load_storage(*id, self.budget)?
                    }
                    (Global::Encode, [Value::Text(text), ..]) if ALL => {
                        self.allow(2 * text.len())?;
                        global.call::<ALL>(&args, &mut self.heap)?
                    }
                    _ => global.call::<ALL>(&args, &mut self.heap)?,
                }
            }
            _ => return Err("calls a value that cannot be called".into()),
        };
        self.pop()?;
        self.push(value);
        Ok(())
    }

    /// BUILD: sets the state of an object.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        self.spend(1)?;
        match (self.top()?, state) {
            (Value::Object(id), _) if ALL => {
                // A state with slots is a tuple of two dicts.
                let dicts = match state {
                    Value::Tuple(id) if self.heap.items(id).len() == 2 => self.heap.items(id).to_vec(),
                    other => vec![other],
                };
                for dict in dicts {
                    if let Value::Dict(from) = dict {
                        let pairs = self.heap.pairs(from).to_vec();
                        self.spend(pairs.len())?;
                        self.heap.pairs[id].extend(pairs);
                    }
                }
            }
            (Value::Array(id), Value::Tuple(state)) if ALL => {
                let state = self.heap.items(state).to_vec();
                self.spend(state.len())?;
                self.heap.set_array(id, &state)?;
            }
            (Value::Dtype(id), Value::Tuple(state)) if ALL => {
                let state = self.heap.items(state).to_vec();
                self.spend(state.len())?;
                self.heap.set_dtype(id, &state);
            }
            // Attributes of a dict, such as the versions in a state dict's `_metadata`, and of a tensor.
            (Value::Dict(_) | Value::Tensor(_) | Value::Unsupported(_) | Value::Opaque, _) => {}
            _ => return Err("sets the state of a value that is not an object".into()),
        }
        Ok(())
    }

    /// Charges bytes to the budget.
    fn allow(&mut self, bytes: usize) -> Result<(), String> {
        if self.budget.allows(bytes) {
            Ok(())
        } else {
            Err("the pickle expands too much for a file of its size".into())
        }
    }

    fn spend(&mut self, values: usize) -> Result<(), String> {
        let many = || format!("the pickle creates more than {MOST} values, or too many for a file of this size");
        self.room = self.room.checked_sub(values).ok_or_else(many)?;
        if self.budget.allows(values * VALUE) { Ok(()) } else { Err(many()) }
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(value);
    }

    /// Height of the stack at the innermost open mark. Values below it cannot be popped.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Value<'a>, String> {
        let value = self.stack.last().filter(|_| self.stack.len() > self.floor());
        value.copied().ok_or_else(|| "the pickle pops from an empty stack".into())
    }

    fn pop(&mut self) -> Result<Value<'a>, String> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn pop_many(&mut self, n: usize) -> Result<Vec<Value<'a>>, String> {
        let at = self.stack.len().checked_sub(n).filter(|&at| at >= self.floor());
        let at = at.ok_or("the pickle pops from an empty stack")?;
        Ok(self.stack.split_off(at))
    }

    fn pop_mark(&mut self) -> Result<Vec<Value<'a>>, String> {
        let mark = self.marks.pop().ok_or("the pickle refers to a mark that was never set")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or("the pickle is cut short")?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "the pickle is cut short".into())
    }

    fn u8(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    /// Reads a line of text, without its newline.
    fn line(&mut self) -> Result<&'a str, String> {
        let len = self.rest.iter().take(1024).position(|&b| b == b'\n').ok_or("a name without an end")?;
        let line = std::str::from_utf8(self.take(len)?).map_err(|_| "a name that is not UTF-8")?;
        self.take(1)?;
        Ok(line)
    }
}

/// Reads a little-endian integer of any length in two's complement. One of more than 64 bits becomes opaque.
fn long<'a>(bytes: &[u8]) -> Value<'a> {
    if bytes.len() > 8 {
        return Value::Opaque;
    }
    let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let mut word = [sign; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(word))
}
