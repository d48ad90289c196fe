// Worklets have no TextDecoder or TextEncoder. ASCII is enough for the messages and options exchanged here.
class Decoder {
  decode(bytes?: Uint8Array): string {
    return bytes ? String.fromCharCode(...bytes) : '';
  }
}

class Encoder {
  encodeInto(text: string, to: Uint8Array): { read: number; written: number } {
    for (let i = 0; i < text.length; i++) to[i] = text.charCodeAt(i) & 127;
    return { read: text.length, written: text.length };
  }
}

const scope = globalThis as unknown as Record<string, unknown>;
scope['TextDecoder'] ??= Decoder;
scope['TextEncoder'] ??= Encoder;
