import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { templatePath } from '../../../src/host/template.ts';
import { makeStandIn } from './stand-in-snpguest.ts';

const service = templatePath('site/attest/report-service');
const data = Buffer.from(Array.from({ length: 64 }, (_, index) => (index * 7) % 256));
let standIn: Awaited<ReturnType<typeof makeStandIn>>;
let folder: string;
let runtime: string;

beforeAll(async () => {
  standIn = await makeStandIn();
  folder = await mkdtemp(join(tmpdir(), 'report-service-'));
});
afterAll(async () => {
  await standIn[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  await writeFile(standIn.record, '');
  runtime = await mkdtemp(join(folder, 'run-'));
});

const calls = async () => (await readFile(standIn.record, 'utf8')).trimEnd().split('\n').filter(Boolean);
const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: report\r\nAccept: */*\r\n\r\n`;

/** Runs the service on one connection's bytes, as systemd does. */
async function connection(input: string | Buffer, snpguest = standIn.file, env: Record<string, string> = {}) {
  const { stdout, stderr, exitCode } = await execa('busybox', ['sh', service, snpguest], {
    input,
    env: { RUNTIME_DIRECTORY: runtime, ...env },
    extendEnv: false,
    encoding: 'buffer',
    reject: false,
  });
  const text = Buffer.from(stdout).toString('latin1');
  const [head = '', body = ''] = text.split('\r\n\r\n');
  const length = /^Content-Length: (\d+)$/m.exec(head)?.[1];
  expect(Number(length)).toBe(body.length);
  expect(stderr.length).toBe(0);
  expect(exitCode).toBe(0);
  return { status: Number(/^HTTP\/1\.1 (\d+) /.exec(head)?.[1]), body };
}

describe('the report service', () => {
  it('answers with a report of VMPL 1 for the data of the request', async () => {
    const { status, body } = await connection(request(`/report/${data.toString('hex')}`));
    expect(status).toBe(200);
    const report = Buffer.from(body, 'base64');
    expect(report).toHaveLength(1184);
    expect(report.readUInt32LE(48)).toBe(1);
    expect(report.subarray(80, 144)).toEqual(data);
    expect(await calls()).toEqual([`report ${runtime}/report.bin ${runtime}/request.bin --vmpl 1`]);
  });

  it('takes bare line feeds and a request without headers too', async () => {
    expect((await connection(`GET /report/${data.toString('hex')} HTTP/1.0\n\n`)).status).toBe(200);
  });

  const hex = data.toString('hex');
  const evil = `/report/$(touch ${'/tmp'}/evil)`.padEnd(8 + 128, 'a');
  it.each<[string, string | Buffer, number]>([
    ['nothing', '', 400],
    ['a line that does not end', `GET /report/${hex} HTTP/1.1`, 400],
    ['headers that do not end', `GET /report/${hex} HTTP/1.1\r\nHost: x\r\n`, 400],
    ['a request line of 100 000 bytes', `GET /${'a'.repeat(100_000)} HTTP/1.1\r\n\r\n`, 400],
    ['a header of 100 000 bytes', `GET /report/${hex} HTTP/1.1\r\nA: ${'a'.repeat(100_000)}\r\n\r\n`, 400],
    ['1000 headers', `GET /report/${hex} HTTP/1.1\r\n${'A: b\r\n'.repeat(1000)}\r\n`, 400],
    ['63 bytes of data', request(`/report/${hex.slice(2)}`), 400],
    ['65 bytes of data', request(`/report/${hex}00`), 400],
    ['an odd digit', request(`/report/${hex.slice(1)}`), 400],
    ['upper case', request(`/report/${hex.toUpperCase()}`), 400],
    ['no digit', request(`/report/${'g'.repeat(128)}`), 400],
    ['a command', request(evil), 400],
    ['a path out of the folder', request(`/report/${'../'.repeat(42)}ab`), 400],
    ['options for snpguest', request(`/report/--vmpl 0 ${hex}`), 400],
    ['a wish for another VMPL', request(`/report/${hex}?vmpl=0`), 400],
    ['another path', request('/key/vcek'), 404],
    ['another method', `POST /report/${hex} HTTP/1.1\r\n\r\n`, 404],
    ['zero bytes', Buffer.concat([Buffer.alloc(70), Buffer.from('\r\n\r\n')]), 404],
    ['random bytes', Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 193 + 71) % 256)), 400],
  ])('refuses %s, and asks nothing of snpguest', async (_, input, status) => {
    expect((await connection(input)).status).toBe(status);
    expect(await calls()).toEqual([]);
    expect(await readdir(runtime)).toEqual([]);
  });

  it('never hands out a report that is not of VMPL 1', async () => {
    const { status, body } = await connection(request(`/report/${hex}`), standIn.file, {
      STAND_IN_VMPL: '0',
    });
    expect({ status, body }).toEqual({
      status: 503,
      body: 'what snpguest gave is not a report of VMPL 1 for this data',
    });
  });

  it('says in one printable line why snpguest gave no report', async () => {
    const failing = join(folder, 'failing');
    await writeFile(failing, '#!/bin/sh\nprintf "\\033[2Jno device\\nsecond line\\n" >&2\nexit 1\n', {
      mode: 0o755,
    });
    const { status, body } = await connection(request(`/report/${hex}`), failing);
    expect({ status, body }).toEqual({ status: 503, body: 'snpguest gave no report: [2Jno device' });
  });

  it('gives one report a second at most, one at a time', async () => {
    const began = performance.now();
    const answers = await Promise.all([1, 2, 3].map(() => connection(request(`/report/${hex}`))));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(performance.now() - began).toBeGreaterThan(2000);
  });
});

describe('/host/bin/snpguest', () => {
  let host: string;
  let server: Server;
  let wrapper: string;
  const work = () => join(host, 'work');

  beforeAll(async () => {
    host = join(folder, 'host');
    for (const name of ['bin/libexec', 'run', 'work']) await mkdir(join(host, name), { recursive: true });
    await symlink('/usr/bin/busybox', join(host, 'bin/busybox'));
    await symlink('/usr/lib/x86_64-linux-gnu', join(host, 'lib'));
    await symlink('/usr/bin/curl', join(host, 'bin/libexec/curl'));
    await copyFile(standIn.file, join(host, 'bin/libexec/snpguest'));
    const text = await readFile(templatePath('site/attest/snpguest'), 'utf8');
    wrapper = join(host, 'bin/snpguest');
    await writeFile(wrapper, text.replaceAll('/host/', `${host}/`), { mode: 0o755 });
    server = createServer((socket) => {
      const child = execa('busybox', ['sh', service, standIn.file], {
        env: { RUNTIME_DIRECTORY: runtime },
        reject: false,
      });
      socket.pipe(child.stdin).on('error', () => {});
      child.stdout.pipe(socket).on('error', () => {});
    });
    await new Promise<void>((resolve) => server.listen(join(host, 'run/report.sock'), resolve));
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  async function snpguest(...args: string[]) {
    await writeFile(join(work(), 'request.bin'), Buffer.concat([data, Buffer.from('more than is read')]));
    const { stdout, stderr, exitCode } = await execa(wrapper, args, {
      cwd: work(),
      // The workload's own settings are not to count.
      env: { PATH: '/nonexistent', LD_LIBRARY_PATH: '/nonexistent', http_proxy: 'http://127.0.0.1:1' },
      extendEnv: false,
      reject: false,
    });
    return { stdout, stderr, exitCode };
  }

  it.each([
    ['as FLARE calls it', ['report', 'report.bin', 'request.bin'], ''],
    ['with VMPL 0', ['report', 'report.bin', 'request.bin', '-v', '0'], /VMPL 0; .*VMPL 1 only/],
    ['with VMPL 0, long', ['report', '--vmpl=0', 'report.bin', 'request.bin'], /VMPL 0/],
    ['with VMPL 3, in one word', ['-q', 'report', '-v3', 'report.bin', '--', 'request.bin'], /VMPL 3/],
    ['with VMPL 1', ['report', '--vmpl', '1', 'report.bin', 'request.bin'], ''],
  ])('gets a report of VMPL 1 %s', async (_, args, said) => {
    const { stderr, exitCode } = await snpguest(...args);
    expect(stderr).toMatch(said);
    expect(exitCode).toBe(0);
    const report = await readFile(join(work(), 'report.bin'));
    expect(report).toHaveLength(1184);
    expect(report.readUInt32LE(48)).toBe(1);
    expect(report.subarray(80, 144)).toEqual(data);
    expect((await calls()).map((line) => line.replace(/.* (--vmpl)/, '$1'))).toEqual(['--vmpl 1']);
  });

  it('draws the data itself with --random, and writes it to the request file', async () => {
    expect((await snpguest('report', 'report.bin', 'drawn.bin', '-r')).exitCode).toBe(0);
    const drawn = await readFile(join(work(), 'drawn.bin'));
    expect(drawn).toHaveLength(64);
    expect((await readFile(join(work(), 'report.bin'))).subarray(80, 144)).toEqual(drawn);
  });

  it.each([
    ['key', ['key', 'out', 'vcek'], /key needs \/dev\/sev-guest/, 1],
    ['certificates', ['certificates', 'pem', '.'], /certificates needs/, 1],
    ['an unknown option', ['report', '--hyperv', 'a', 'b'], /unknown option --hyperv/, 2],
    ['no request file', ['report', 'report.bin'], /usage: snpguest report/, 2],
    ['a third file', ['report', 'a', 'request.bin', 'c'], /one argument too many: c/, 2],
    ['VMPL 4', ['report', 'a', 'request.bin', '-v', '4'], /not between 0 and 3/, 2],
    ['a request that is not there', ['report', 'a', 'none'], /cannot read none/, 1],
    ['a request that is too short', ['report', 'a', 'short'], /unable to read 64 bytes/, 1],
  ])('refuses %s', async (_, args, message, status) => {
    await writeFile(join(work(), 'short'), data.subarray(1));
    const { stderr, exitCode } = await snpguest(...args);
    expect(stderr).toMatch(message);
    expect(exitCode).toBe(status);
    expect(await calls()).toEqual([]);
  });

  it('leaves everything else to the administrator’s snpguest, word for word', async () => {
    const { stdout } = await snpguest('verify', 'attestation', 'a certs folder', 'report.bin', '-t');
    expect(stdout).toBe('stand-in: verify attestation a certs folder report.bin -t');
    expect((await snpguest('-q', 'fetch', 'ca', 'pem', 'certs', 'milan')).stdout).toContain(
      '-q fetch ca pem',
    );
    expect((await snpguest('report', '--help')).stdout).toBe('');
    expect(await calls()).toContain('report --help');
  });

  it('runs a dynamically linked one by the loader beside it', async () => {
    const program = join(host, 'bin/libexec/snpguest');
    const before = await readFile(program);
    await copyFile('/usr/bin/od', program);
    try {
      const { stdout } = await snpguest('-An', '-tx1', '-N4', 'request.bin');
      expect(stdout.trim()).toBe('00 07 0e 15');
    } finally {
      await writeFile(program, before);
    }
  });

  it('says so where the service is gone', async () => {
    const socket = join(host, 'run/report.sock');
    await rm(socket);
    const { stderr, exitCode } = await snpguest('report', 'never.bin', 'request.bin');
    expect(stderr).toMatch(/ERROR: the report service of this VM does not answer/);
    expect(exitCode).toBe(1);
    expect(await readdir(work())).not.toContain('never.bin');
  });
});
