//! Damage to bytes, independent of their meaning.

/// Generator (SplitMix64) that selects the damage; the same case always gets the same damage.
pub struct Dice(u64);

impl Dice {
    /// Returns the generator of one case.
    pub fn of(reader: &str, case: u64) -> Self {
        let name = reader.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ b as u64).wrapping_mul(0x100_0000_01b3));
        Self(name ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `n`; 0 for 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.word() % n.max(1) as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Returns a number that tends to break arithmetic: zero, all ones, or a power of two, its predecessor or its
    /// negative.
    pub fn magic(&mut self) -> u64 {
        let power = 1u64 << *self.pick(&[0u32, 4, 7, 8, 15, 16, 20, 24, 30, 31, 32, 40, 45, 53, 62, 63]);
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => power.wrapping_neg(),
            3 => power - 1,
            _ => power,
        }
    }

    /// Returns a position: anywhere, or near the start or the end, where formats keep their tables.
    fn place(&mut self, len: usize) -> usize {
        match self.below(4) {
            0 => self.below(len.min(256)),
            1 => len - 1 - self.below(len.min(256)),
            _ => self.below(len),
        }
    }
}

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// Replaces a run of ASCII digits near a random position with a magic number.
fn digits(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let from = dice.place(bytes.len());
    let Some(start) = bytes[from..].iter().take(4096).position(u8::is_ascii_digit).map(|k| from + k) else { return };
    let len = bytes[start..].iter().take_while(|b| b.is_ascii_digit()).count();
    let text = match dice.below(8) {
        0 => format!("-{}", dice.magic()),
        1 => format!("{}.5", dice.magic()),
        2 => "99999999999999999999999".into(),
        _ => dice.magic().to_string(),
    };
    bytes.splice(start..start + len, text.into_bytes());
}

/// Damages `bytes` once; pieces may come from `other`, a second good file.
pub fn damage(dice: &mut Dice, bytes: &mut Vec<u8>, other: &[u8]) {
    if bytes.is_empty() {
        return bytes.push(dice.word() as u8);
    }
    let at = dice.place(bytes.len());
    let longest = 1 << dice.below(9);
    let piece = at..at + dice.below((bytes.len() - at).min(longest)) + 1;
    match dice.below(14) {
        0 | 1 => bytes[at] ^= 1 << dice.below(8),
        2 => bytes[at] = dice.word() as u8,
        3 => bytes[at] = *dice.pick(&[0, 1, 0x7f, 0x80, 0xff, b'"', b'}', b'(', b'.', b'\n']),
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(piece)),
        6 => drop(bytes.splice(at..at, (0..=dice.below(8)).map(|_| dice.word() as u8).collect::<Vec<_>>())),
        7 => {
            let copy = bytes[piece].to_vec();
            let to = dice.place(bytes.len());
            let end = if dice.below(2) == 0 { to } else { bytes.len().min(to + copy.len()) };
            bytes.splice(to..end, copy);
        }
        8 => {
            let from = dice.below(other.len());
            let end = if dice.below(4) == 0 { other.len() } else { other.len().min(from + piece.len()) };
            let until = if end == other.len() { bytes.len() } else { piece.end };
            bytes.splice(at..until, other[from..end].iter().copied());
        }
        9..=11 => {
            let width = *dice.pick(&[1, 2, 4, 8]);
            let at = if dice.below(2) == 0 { at } else { at / width * width };
            let word = dice.magic();
            let word = if dice.below(8) == 0 { word.to_be_bytes() } else { word.to_le_bytes() };
            let width = width.min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&word[..width]);
        }
        12 => {
            let end = at + dice.below(2);
            bytes.splice(at..end, varint(dice.magic()));
        }
        _ => digits(dice, bytes),
    }
}
