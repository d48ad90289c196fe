// WAV files of one channel with 16 bits.

/** Encodes samples, which are clipped to the range from -1 to 1. */
export function encoded(samples, rate) {
  const bytes = new Uint8Array(44 + 2 * samples.length);
  const view = new DataView(bytes.buffer);
  const text = (at, chars) => [...chars].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  const word = (at, value) => view.setUint32(at, value, true);
  const half = (at, value) => view.setUint16(at, value, true);
  text(0, 'RIFF');
  word(4, bytes.length - 8);
  text(8, 'WAVEfmt ');
  word(16, 16);
  half(20, 1); // integers
  half(22, 1); // channels
  word(24, rate);
  word(28, 2 * rate); // bytes per second
  half(32, 2); // bytes per sample of all channels
  half(34, 16); // bits per sample
  text(36, 'data');
  word(40, 2 * samples.length);
  for (let i = 0; i < samples.length; i++) view.setInt16(44 + 2 * i, Math.max(-32768, Math.min(32767, Math.round(32768 * samples[i]))), true);
  return bytes;
}
