//! Damage below a container's checksums and lengths: the container is rebuilt around the damaged content, so that
//! readers get past it.

use wgru::io::TensorFile;

use super::mutate::{Dice, damage, varint};
use super::zip::{deflated, members, stored, zip};

/// The structure of a file.
pub enum Form {
    Plain,
    /// A length, a JSON header, and data.
    Safetensors,
    Json,
    /// Names and inflated contents of the members.
    Zip(Vec<(String, Vec<u8>)>),
    /// Protocol buffers.
    Proto,
}

impl Form {
    /// Returns the form of a valid file with this name.
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        if name.ends_with(".onnx") {
            return Self::Proto;
        }
        if name.ends_with(".safetensors") && bytes.len() > 8 {
            return Self::Safetensors;
        }
        if name.ends_with(".json") {
            return Self::Json;
        }
        match members(bytes) {
            Some(members) if bytes.starts_with(b"PK") && !members.is_empty() => Self::Zip(members),
            _ => Self::Plain,
        }
    }

    /// Returns a damaged copy of `bytes`, which must have this form.
    pub fn damage(&self, dice: &mut Dice, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => {
                let mut bytes = bytes.to_vec();
                damage(dice, &mut bytes, other);
                bytes
            }
            Self::Safetensors if dice.below(2) == 0 => content(dice, bytes),
            Self::Safetensors => safetensors(dice, bytes, other),
            Self::Json => {
                let mut text = bytes.to_vec();
                token(dice, &mut text);
                text
            }
            Self::Zip(members) => archive(dice, members, other),
            Self::Proto => {
                let mut message = bytes.to_vec();
                field(dice, &mut message, 0);
                message
            }
        }
    }
}

/// Damages the header, then corrects the length that precedes it.
fn safetensors(dice: &mut Dice, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let len = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let (header, data) = bytes[8..].split_at(len.min(bytes.len() - 8));
    let mut header = header.to_vec();
    for _ in 0..=dice.below(2) {
        match dice.below(2) {
            0 => token(dice, &mut header),
            _ => damage(dice, &mut header, other),
        }
    }
    [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()
}

/// Writes a valid file whose values, extents, names or strings differ from the good file's.
fn content(dice: &mut Dice, bytes: &[u8]) -> Vec<u8> {
    let Ok(good) = TensorFile::from_bytes("a seed", bytes) else { return bytes.to_vec() };
    let mut file = TensorFile::default();
    file.metadata = good.metadata.clone();
    let names: Vec<&str> = good.names().collect();
    let (changed, lost) = (dice.below(names.len()), dice.below(8 * names.len()));
    for (k, name) in names.iter().enumerate().filter(|(k, _)| *k != lost) {
        let (dims, values) = good.get(name).expect("there");
        let (mut name, mut dims, mut values) = (name.to_string(), dims.to_vec(), values.to_vec());
        if k == changed {
            let at = dice.below(values.len());
            let odd = [f32::NAN, f32::INFINITY, -1.0, 1e30, 1e-40, 16_777_216.0, 0.5];
            match dice.below(5) {
                0 => dims.reverse(),
                1 => dims = vec![values.len()],
                2 => (dims, values) = (vec![dice.below(3); dims.len()], Vec::new()),
                3 => name = format!("{}{}", dice.pick(&names), dice.pick(&["", "_reverse", ".0", "x"])),
                _ if values.is_empty() => dims = vec![0, 7],
                _ => values[at] = *dice.pick(&odd),
            }
            values.resize(dims.iter().product(), 1.0);
        }
        file.insert(&name, &dims, values);
    }
    let keys: Vec<String> = file.metadata.keys().cloned().collect();
    if !keys.is_empty() && dice.below(2) == 0 {
        let texts = ["", "NaN", "-1", "0", "1e9", "true", "false", "Tanh", "adam"].map(String::from);
        let text = if dice.below(2) == 0 { dice.pick(&texts).clone() } else { dice.magic().to_string() };
        match dice.below(6) {
            0 => drop(file.metadata.remove(dice.pick(&keys))),
            1 => drop(file.metadata.insert(dice.pick(&keys).clone(), file.metadata[dice.pick(&keys)].clone())),
            _ => drop(file.metadata.insert(dice.pick(&keys).clone(), text)),
        }
    }
    // Duplicate names cannot be written.
    file.to_bytes().unwrap_or_else(|_| bytes.to_vec())
}

/// Replaces one JSON string or number with another one, or with a magic number.
fn token(dice: &mut Dice, text: &mut Vec<u8>) {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let len = match text[at] {
            b'"' => 2 + text[at + 1..].iter().take_while(|&&b| b != b'"').count(),
            b'0'..=b'9' => text[at..].iter().take_while(|b| b.is_ascii_digit()).count(),
            _ => {
                at += 1;
                continue;
            }
        };
        tokens.push(at..text.len().min(at + len));
        at += len;
    }
    if tokens.is_empty() {
        return;
    }
    let (from, to) = (dice.pick(&tokens).clone(), dice.pick(&tokens).clone());
    let quoted = text[to.start] == b'"' && dice.below(4) != 0;
    let new = match dice.below(3) {
        0 if quoted => format!("\"{}\"", dice.magic()).into_bytes(),
        0 => dice.magic().to_string().into_bytes(),
        _ => text[from].to_vec(),
    };
    text.splice(to, new);
}

/// Damages, renames, repeats or removes a member.
fn archive(dice: &mut Dice, members: &[(String, Vec<u8>)], other: &[u8]) -> Vec<u8> {
    let mut members: Vec<(String, Vec<u8>)> = members.to_vec();
    let at = dice.below(members.len());
    match dice.below(12) {
        0 => drop(members.remove(at)),
        1 => members.push(members[at].clone()),
        2 => members[at].0 = members[dice.below(members.len())].0.clone(),
        3 => members[at].1 = members[dice.below(members.len())].1.clone(),
        _ => {
            // Damages the pickle more often than the storages that it describes.
            let pickle = members.iter().position(|(name, _)| name.ends_with(".pkl"));
            let at = pickle.filter(|_| dice.below(4) != 0).unwrap_or(at);
            for _ in 0..=dice.below(2) {
                damage(dice, &mut members[at].1, other);
            }
        }
    }
    let pack = if dice.below(2) == 0 { deflated } else { stored };
    zip(&members.iter().map(|(name, data)| pack(name, data)).collect::<Vec<_>>())
}

/// Returns the fields of a message: the start of each, its tag, and the range of its value. `None` if these bytes are
/// not a message.
fn fields(bytes: &[u8]) -> Option<Vec<(usize, u64, std::ops::Range<usize>)>> {
    let number = |at: &mut usize| {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = *bytes.get(*at)?;
            *at += 1;
            value |= u64::from(byte & 127) << shift;
            shift += 7;
            if byte < 128 {
                return Some(value);
            }
            if shift > 63 {
                return None;
            }
        }
    };
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let start = at;
        let tag = number(&mut at)?;
        let value = at;
        match tag % 8 {
            0 => drop(number(&mut at)?),
            1 => at += 8,
            2 => {
                let len = number(&mut at)? as usize;
                let from = at;
                at = at.checked_add(len)?;
                out.push((start, tag, from..at));
                bytes.get(from..at)?;
                continue;
            }
            5 => at += 4,
            _ => return None,
        }
        if tag < 8 || at > bytes.len() {
            return None;
        }
        out.push((start, tag, value..at));
    }
    (!out.is_empty()).then_some(out)
}

/// Damages one field of a message, or of a nested one, then corrects the lengths around it.
fn field(dice: &mut Dice, bytes: &mut Vec<u8>, depth: usize) {
    let Some(all) = fields(bytes) else { return damage(dice, bytes, &[]) };
    let (start, tag, value) = dice.pick(&all).clone();
    let whole = start..value.end;
    match dice.below(24) {
        0 => return drop(bytes.drain(whole)),
        1 => {
            let copy = bytes[whole].to_vec();
            return drop(bytes.splice(start..start, copy));
        }
        2 => {
            // The value under a different field number.
            let other = dice.pick(&all).1 / 8 * 8 + tag % 8;
            let tail = bytes[start..value.end].to_vec();
            let skip = varint(tag).len();
            return drop(bytes.splice(whole, [varint(other), tail[skip.min(tail.len())..].to_vec()].concat()));
        }
        3 => {
            // A copy of another field in its place.
            let (from, _, end) = dice.pick(&all).clone();
            let copy = bytes[from..end.end].to_vec();
            return drop(bytes.splice(whole, copy));
        }
        _ => {}
    }
    let new = match tag % 8 {
        0 => [varint(tag), varint(if dice.below(4) == 0 { dice.word() % 20 } else { dice.magic() })].concat(),
        2 => {
            let mut inside = bytes[value].to_vec();
            match depth < 12 && fields(&inside).is_some() {
                true => field(dice, &mut inside, depth + 1),
                false => damage(dice, &mut inside, &[]),
            }
            [varint(tag), varint(inside.len() as u64), inside].concat()
        }
        _ => {
            let mut inside = bytes[start..value.end].to_vec();
            damage(dice, &mut inside, &[]);
            inside
        }
    };
    bytes.splice(whole, new);
}
