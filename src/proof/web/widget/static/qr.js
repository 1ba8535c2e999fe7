/** QR codes (ISO/IEC 18004:2015): bytes, error correction M, versions 1 to 10, which is up to 213 bytes. */

// For each version: codewords of error correction in a block, then how many blocks of how many data codewords.
const BLOCKS = [
  [10, [1, 16]], [16, [1, 28]], [26, [1, 44]], [18, [2, 32]], [24, [2, 43]], [16, [4, 27]],
  [18, [4, 31]], [22, [2, 38], [2, 39]], [22, [3, 36], [2, 37]], [26, [4, 43], [1, 44]],
];
const ALIGNED = [[], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42], [6, 26, 46], [6, 28, 50]];
const MASKS = [
  (y, x) => (y + x) % 2 === 0,
  (y) => y % 2 === 0,
  (y, x) => x % 3 === 0,
  (y, x) => (y + x) % 3 === 0,
  (y, x) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2 === 0,
  (y, x) => ((y * x) % 2) + ((y * x) % 3) === 0,
  (y, x) => (((y * x) % 2) + ((y * x) % 3)) % 2 === 0,
  (y, x) => (((y + x) % 2) + ((y * x) % 3)) % 2 === 0,
];
const LEVEL_M = 0;
const BYTES_MODE = 4;

// The field GF(256) by the polynomial x^8 + x^4 + x^3 + x^2 + 1 (section 7.5.2).
const EXP = [];
const LOG = [];
for (let power = 0, value = 1; power < 255; power += 1) {
  EXP[power] = value;
  LOG[value] = power;
  value = (value << 1) ^ (value > 127 ? 0x11d : 0);
}
const times = (a, b) => (a && b ? EXP[(LOG[a] + LOG[b]) % 255] : 0);

/** The modules of a text's code, row by row, true for dark, without the quiet zone. */
export function encode(text, mask = null) {
  const bytes = [...new TextEncoder().encode(text)];
  const version = BLOCKS.findIndex((_, at) => bytes.length + headBytes(at + 1) <= capacity(at + 1)) + 1;
  if (!version) throw new RangeError(`${bytes.length} bytes are too many for one code`);
  const stream = interleaved(version, dataCodewords(version, bytes));
  const tried = (mask === null ? MASKS.map((_, at) => at) : [mask]).map((at) => drawn(version, stream, at));
  return tried.reduce((best, one) => (penalty(one) < penalty(best) ? one : best));
}

function capacity(version) {
  return BLOCKS[version - 1].slice(1).reduce((sum, [count, size]) => sum + count * size, 0);
}

/** Mode (4 bits) and length (8 or 16 bits), with the terminator rounded up. */
function headBytes(version) {
  return version < 10 ? 2 : 3;
}

function dataCodewords(version, bytes) {
  const bits = [];
  const put = (value, count) => {
    for (let at = count - 1; at >= 0; at -= 1) bits.push((value >> at) & 1);
  };
  put(BYTES_MODE, 4);
  put(bytes.length, version < 10 ? 8 : 16);
  for (const byte of bytes) put(byte, 8);
  const most = capacity(version) * 8;
  put(0, Math.min(4, most - bits.length));
  while (bits.length % 8) bits.push(0);
  for (let pad = 0xec; bits.length < most; pad ^= 0xec ^ 0x11) put(pad, 8);
  const words = [];
  for (let at = 0; at < bits.length; at += 8) words.push(bits.slice(at, at + 8).reduce((sum, bit) => sum * 2 + bit, 0));
  return words;
}

/** Data and error correction of all blocks, a codeword of each in turn (section 7.6). */
function interleaved(version, words) {
  const [corrections, ...groups] = BLOCKS[version - 1];
  const blocks = [];
  let from = 0;
  for (const [count, size] of groups) {
    for (let made = 0; made < count; made += 1) blocks.push(words.slice(from, (from += size)));
  }
  const inTurn = (lists) => {
    const longest = Math.max(...lists.map((list) => list.length));
    return Array.from({ length: longest }, (_, at) => lists.flatMap((list) => list.slice(at, at + 1))).flat();
  };
  return [...inTurn(blocks), ...inTurn(blocks.map((block) => correction(block, corrections)))];
}

/** The remainder of the block divided by the generator polynomial. */
function correction(block, count) {
  let generator = [1];
  for (let root = 0; root < count; root += 1) {
    const shifted = [...generator, 0];
    generator = shifted.map((value, at) => value ^ (at ? times(generator[at - 1], EXP[root]) : 0));
  }
  const rest = [...block, ...Array(count).fill(0)];
  block.forEach((_, at) => {
    const factor = rest[at];
    generator.forEach((value, offset) => { rest[at + offset] ^= times(value, factor); });
  });
  return rest.slice(block.length);
}

function drawn(version, stream, mask) {
  const size = version * 4 + 17;
  const rows = Array.from({ length: size }, () => Array(size).fill(null));
  const put = (y, x, dark) => { if (y >= 0 && x >= 0 && y < size && x < size) rows[y][x] = dark; };
  patterns(version, size, rows, put);
  describe(version, size, mask, put);
  let at = 0;
  for (const [y, x] of path(size)) {
    if (rows[y][x] !== null) continue;
    const bit = at < stream.length * 8 ? (stream[at >> 3] >> (7 - (at & 7))) & 1 : 0;
    at += 1;
    rows[y][x] = Boolean(bit) !== MASKS[mask](y, x);
  }
  return rows;
}

function patterns(version, size, rows, put) {
  for (const [top, left] of [[0, 0], [0, size - 7], [size - 7, 0]]) {
    for (let y = -1; y <= 7; y += 1) {
      for (let x = -1; x <= 7; x += 1) {
        const ring = Math.max(Math.abs(y - 3), Math.abs(x - 3));
        put(top + y, left + x, ring !== 2 && ring !== 4);
      }
    }
  }
  for (const cy of ALIGNED[version - 1]) {
    for (const cx of ALIGNED[version - 1]) {
      if (rows[cy][cx] !== null) continue;
      for (let y = -2; y <= 2; y += 1) {
        for (let x = -2; x <= 2; x += 1) put(cy + y, cx + x, Math.max(Math.abs(y), Math.abs(x)) !== 1);
      }
    }
  }
  for (let at = 8; at < size - 8; at += 1) {
    put(6, at, at % 2 === 0);
    put(at, 6, at % 2 === 0);
  }
}

/** Format and version information, each with its own error correction (sections 7.9 and 7.10). */
function describe(version, size, mask, put) {
  const format = ((LEVEL_M << 3) | mask) << 10;
  const bits = (format | remainder(format, 0x537, 10)) ^ 0x5412;
  for (let at = 0; at < 15; at += 1) {
    const dark = Boolean((bits >> at) & 1);
    if (at < 6) put(at, 8, dark);
    else if (at < 8) put(at + 1, 8, dark);
    else if (at === 8) put(8, 7, dark);
    else put(8, 14 - at, dark);
    if (at < 8) put(8, size - 1 - at, dark);
    else put(size - 15 + at, 8, dark);
  }
  put(size - 8, 8, true);
  if (version < 7) return;
  const number = (version << 12) | remainder(version << 12, 0x1f25, 12);
  for (let at = 0; at < 18; at += 1) {
    const dark = Boolean((number >> at) & 1);
    put(Math.floor(at / 3), size - 11 + (at % 3), dark);
    put(size - 11 + (at % 3), Math.floor(at / 3), dark);
  }
}

function remainder(value, divisor, bits) {
  let rest = value;
  for (let at = 31 - Math.clz32(rest || 1); at >= bits; at -= 1) {
    if ((rest >> at) & 1) rest ^= divisor << (at - bits);
  }
  return rest;
}

/** Where the data goes: in columns of two from the right, up and down in turn, past the timing column. */
function* path(size) {
  let up = true;
  for (let right = size - 1; right > 0; right -= 2) {
    if (right === 6) right -= 1;
    for (let step = 0; step < size; step += 1) {
      const y = up ? size - 1 - step : step;
      yield [y, right];
      yield [y, right - 1];
    }
    up = !up;
  }
}

/** How hard a scanner would find it (section 7.8.3.1). */
function penalty(rows) {
  const columns = rows.map((_, x) => rows.map((row) => row[x]));
  const size = rows.length;
  let sum = 0;
  for (const line of [...rows, ...columns]) {
    const text = line.map(Number).join("");
    for (const run of text.match(/0{5,}|1{5,}/g) ?? []) sum += run.length - 2;
    sum += 40 * ((text.match(/(?=10111010000)/g)?.length ?? 0) + (text.match(/(?=00001011101)/g)?.length ?? 0));
  }
  for (let y = 1; y < size; y += 1) {
    for (let x = 1; x < size; x += 1) {
      if (rows[y][x] === rows[y - 1][x] && rows[y][x] === rows[y][x - 1] && rows[y][x] === rows[y - 1][x - 1]) sum += 3;
    }
  }
  const dark = rows.flat().filter(Boolean).length / (size * size);
  return sum + 10 * Math.floor(Math.abs(dark * 100 - 50) / 5);
}
