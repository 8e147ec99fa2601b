// Which of this process's sockets that listen on one port gets the new connections. Linux spreads them over all such sockets, unless a
// program of its packet filter chooses one. It cannot be reached through Bun, so this calls the C library.
import { dlopen, ptr } from "bun:ffi";

/** The names of the C library: glibc's and musl's. */
const LIBRARIES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];

/** The relay listens from its start on, so its first socket has one of the first numbers. */
const FILE_NUMBER_MAX = 65_535;

/** Of asm-generic/socket.h. */
const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;
const SO_ATTACH_REUSEPORT_CBPF = 51;

/** "Return this number", in the machine language of the packet filter. */
const BPF_RETURN = 0x06;

const ADDRESS_BYTES = 128;

/**
 * From now on, all new connections of this port go to that one of its sockets which was the `index`th to listen, from 0 on. Returns
 * false where the system does not know how; then nothing has changed.
 */
export function steerTo(port: number, index: number): boolean {
  const libc = openLibrary();
  if (libc === undefined) return false;
  try {
    const socket = listeningSocket(libc.symbols, port);
    if (socket === undefined) return false;
    // struct sock_filter { u16 code; u8 jt, jf; u32 k; }, and struct sock_fprog { u16 len; struct sock_filter *filter; }.
    const filter = new DataView(new ArrayBuffer(8));
    filter.setUint16(0, BPF_RETURN, true);
    filter.setUint32(4, index, true);
    const program = new DataView(new ArrayBuffer(16));
    program.setUint16(0, 1, true);
    program.setBigUint64(8, BigInt(ptr(filter)), true);
    const { setsockopt } = libc.symbols;
    return setsockopt(socket, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, ptr(program), 16) === 0;
  } finally {
    libc.close();
  }
}

type Library = NonNullable<ReturnType<typeof openLibrary>>;

function openLibrary() {
  if (process.platform !== "linux") return undefined;
  for (const name of LIBRARIES) {
    try {
      return dlopen(name, {
        setsockopt: { args: ["int", "int", "int", "ptr", "u32"], returns: "int" },
        getsockopt: { args: ["int", "int", "int", "ptr", "ptr"], returns: "int" },
        getsockname: { args: ["int", "ptr", "ptr"], returns: "int" },
      });
    } catch {
      // The next name may be the one.
    }
  }
  return undefined;
}

/** The first socket of this process that listens on this port. */
function listeningSocket(
  { getsockopt, getsockname }: Library["symbols"],
  port: number,
): number | undefined {
  const value = new Int32Array(1);
  const address = new DataView(new ArrayBuffer(ADDRESS_BYTES));
  const length = new Uint32Array(1);
  for (let file = 0; file <= FILE_NUMBER_MAX; file++) {
    length[0] = value.byteLength;
    value[0] = 0;
    getsockopt(file, SOL_SOCKET, SO_ACCEPTCONN, ptr(value), ptr(length));
    if (value[0] !== 1) continue;
    length[0] = ADDRESS_BYTES;
    // The port is at the same place in the addresses of IPv4 and of IPv6.
    if (getsockname(file, ptr(address), ptr(length)) === 0 && address.getUint16(2) === port) {
      return file;
    }
  }
  return undefined;
}
