import { execFileSync, spawnSync } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Bench } from './images.ts';

const quickstart = resolve(import.meta.dirname, '../../../examples/quickstart');

describe('make-kit.sh', () => {
  it('makes a kit whose key is fresh, private and fits its certificate', async () => {
    await using bench = await Bench.make();
    for (const name of ['one', 'two'])
      execFileSync(`${quickstart}/make-kit.sh`, [bench.path(name), 'site-7']);
    const key = await readFile(bench.path('one/startup/client.key'), 'utf8');
    expect((await stat(bench.path('one/startup/client.key'))).mode & 0o777).toBe(0o600);
    expect(await readFile(bench.path('two/startup/client.key'), 'utf8')).not.toBe(key);
    const openssl = (...args: string[]) =>
      execFileSync('openssl', args, { cwd: bench.path('one/startup'), encoding: 'utf8' });
    expect(openssl('verify', '-CAfile', 'rootCA.pem', 'client.crt')).toContain('OK');
    expect(openssl('x509', '-in', 'client.crt', '-noout', '-pubkey')).toBe(
      openssl('pkey', '-in', 'client.key', '-pubout'),
    );
    expect(openssl('x509', '-in', 'client.crt', '-noout', '-subject')).toContain('site-7');
    expect(await readFile(bench.path('one/startup/fed_client.json'), 'utf8')).toContain('"name": "site-7"');
  });

  it('refuses a site name that could do harm, and a folder that exists', async () => {
    await using bench = await Bench.make();
    const run = (...args: string[]) => spawnSync(`${quickstart}/make-kit.sh`, args, { encoding: 'utf8' });
    expect(run(bench.path('kit'), 'site-/x').status).toBe(2);
    expect(run(bench.path('kit'), 'a"b').status).toBe(2);
    expect(run(bench.folder).stderr).toContain('it exists');
  });
});

describe('make-archive.sh', () => {
  it('refuses a busybox that needs libraries, and leaves no archive', async () => {
    await using bench = await Bench.make();
    const { status, stderr } = spawnSync(`${quickstart}/make-archive.sh`, [bench.path('out')], {
      encoding: 'utf8',
      env: { ...process.env, BUSYBOX: '/bin/ls' },
    });
    expect(status).toBe(1);
    expect(stderr).toContain('not a static busybox');
    await expect(stat(bench.path('out'))).rejects.toThrow('ENOENT');
  });
});

describe('the scripts of the quickstart', () => {
  it('are clean for shellcheck', () => {
    execFileSync('sh', ['-c', 'find "$1" -name "*.sh" -exec shellcheck {} +', 'sh', quickstart]);
  });
});
