/**
 * A UEFI application that writes a line to the first serial port and then powers the machine off, or returns an
 * error to who started it. It stands for whatever a hostile host would have run.
 *
 * PE32+ (Microsoft PE format): DOS header, COFF header, optional header, one section with code and text. As in a Linux
 * kernel, "HdrS" lies at 0x202, without which nothing measures it.
 */
export function efiProgram(says: string, then: 'power off' | 'return'): Buffer {
  const code = machineCode(says, then);
  const image = Buffer.alloc(fileAlignment + Math.ceil(code.length / fileAlignment) * fileAlignment);
  image.write('MZ', 0, 'latin1');
  image.writeUInt32LE(at.pe, 0x3c);
  image.write('PE\0\0', at.pe, 'latin1');

  image.writeUInt16LE(0x8664, at.coff);
  image.writeUInt16LE(1, at.coff + 2); // sections
  image.writeUInt16LE(at.section - at.optional, at.coff + 16);
  image.writeUInt16LE(0x0022, at.coff + 18); // executable, large addresses

  const field = (offset: number, value: number) => image.writeUInt32LE(value, at.optional + offset);
  image.writeUInt16LE(0x20b, at.optional); // PE32+
  field(16, sectionAlignment); // entry point
  field(20, sectionAlignment); // base of code
  field(32, sectionAlignment);
  field(36, fileAlignment);
  field(56, 2 * sectionAlignment); // size in memory
  field(60, fileAlignment); // size of the headers
  image.writeUInt16LE(10, at.optional + 68); // subsystem: EFI application
  field(108, 16); // data directories, all empty

  image.write('HdrS', 0x202, 'latin1');

  image.write('.text', at.section, 'latin1');
  image.writeUInt32LE(code.length, at.section + 8);
  image.writeUInt32LE(sectionAlignment, at.section + 12);
  image.writeUInt32LE(image.length - fileAlignment, at.section + 16);
  image.writeUInt32LE(fileAlignment, at.section + 20);
  image.writeUInt32LE(0x6000_0020, at.section + 36); // code, may be run and read
  code.copy(image, fileAlignment);
  return image;
}

const fileAlignment = 0x400;
const sectionAlignment = 0x1000;
const at = { pe: 0x40, coff: 0x44, optional: 0x58, section: 0x148 } as const;

function machineCode(says: string, then: 'power off' | 'return'): Buffer {
  const write = [
    ...[0x56], // push rsi
    ...[0x66, 0xba, 0xf8, 0x03], // mov dx, 0x3f8: COM1
    ...[0x48, 0x8d, 0x35], // lea rsi, [rip + text]
  ];
  const loop = [
    ...[0xac], // next: lodsb
    ...[0x84, 0xc0], // test al, al
    ...[0x74, 0x03], // jz end
    ...[0xee], // out dx, al
    ...[0xeb, 0xf8], // jmp next
    ...[0x5e], // end: pop rsi
  ];
  const powerOff = [
    ...[0x66, 0xba, 0x04, 0x06], // mov dx, 0x604: PM1 control of Q35 as OVMF places it
    ...[0x66, 0xb8, 0x00, 0x20], // mov ax, 0x2000: soft off
    ...[0x66, 0xef], // out dx, ax
    ...[0xf4, 0xeb, 0xfd], // hlt, for ever
  ];
  const returnError = [
    ...[0x48, 0xb8, 0x15, 0, 0, 0, 0, 0, 0, 0x80], // mov rax, EFI_ABORTED
    ...[0xc3], // ret
  ];
  const rest = [...loop, ...(then === 'return' ? returnError : powerOff)];
  const distance = Buffer.alloc(4);
  distance.writeInt32LE(rest.length);
  return Buffer.concat([
    Buffer.from(write),
    distance,
    Buffer.from(rest),
    Buffer.from(`\r\n${says}\r\n\0`, 'latin1'),
  ]);
}
