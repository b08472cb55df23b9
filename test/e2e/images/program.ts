/**
 * A static x86-64 program that makes one system call and exits with the low byte of its result: 255 is EPERM. So a
 * container can try calls for which busybox has no command, and no compiler is needed.
 *
 * ELF header (64 bytes), one program header (56 bytes), code; loaded as a whole at 0x400000.
 * @param call number of the system call (Linux, arch/x86/entry/syscalls/syscall_64.tbl) and its first three arguments
 */
export function programCalling(call: number, ...args: [number?, number?, number?]): Buffer {
  const word = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value >>> 0);
    return bytes;
  };
  const long = (value: number) => Buffer.concat([word(value % 2 ** 32), word(Math.floor(value / 2 ** 32))]);
  const code = Buffer.concat([
    ...[Buffer.of(0xb8), word(call)], // mov eax, call
    ...[Buffer.of(0x48, 0xbf), long(args[0] ?? 0)], // movabs rdi, …
    ...[Buffer.of(0xbe), word(args[1] ?? 0)], // mov esi, …
    ...[Buffer.of(0xba), word(args[2] ?? 0)], // mov edx, …
    Buffer.of(0x0f, 0x05), // syscall
    Buffer.of(0x89, 0xc7), // mov edi, eax
    ...[Buffer.of(0xb8), word(60)], // mov eax, exit
    Buffer.of(0x0f, 0x05), // syscall
  ]);
  const base = 0x400000n;
  const size = BigInt(120 + code.length);
  const header = Buffer.alloc(120);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeUInt16LE(2, 16); // executable
  header.writeUInt16LE(62, 18); // x86-64
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(base + 120n, 24); // entry point
  header.writeBigUInt64LE(64n, 32); // program headers
  header.writeUInt16LE(64, 52); // size of this header
  header.writeUInt16LE(56, 54); // size of a program header
  header.writeUInt16LE(1, 56); // their number
  header.writeUInt32LE(1, 64); // PT_LOAD
  header.writeUInt32LE(5, 68); // readable, executable
  header.writeBigUInt64LE(base, 80);
  header.writeBigUInt64LE(base, 88);
  header.writeBigUInt64LE(size, 96);
  header.writeBigUInt64LE(size, 104);
  header.writeBigUInt64LE(4096n, 112);
  return Buffer.concat([header, code]);
}
