import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseCcConfig } from '../../../src/config/index.ts';

const folder = join(import.meta.dirname, '../../../examples/flare');
const read = (name: string) => readFileSync(join(folder, name), 'utf8');
const files = { server: 'cc_server1.yml', client: 'cc_site-1.yml' };

describe('examples/flare', () => {
  it.each(Object.values(files))('%s has no mistake and nothing to warn of', (name) => {
    const { errors, warnings } = parseCcConfig(read(name), name);
    expect([...errors, ...warnings]).toEqual([]);
  });

  it('names these files in its project, and the port of its server in both', () => {
    const { participants } = parse(read('project.yml'));
    expect(participants.map(({ cc_config }: { cc_config?: string }) => cc_config)).toEqual([
      files.server,
      files.client,
      undefined,
    ]);
    const port = participants[0].fed_learn_port;
    expect(parse(read(files.server)).allowed_ports).toEqual([port]);
    expect(parse(read(files.client)).allowed_out_ports).toContain(port);
  });

  it('offers for production what it tries out, with the snpguest that the VM has', () => {
    for (const name of Object.values(files)) {
      const text = read(name)
        .replace(/^ {2}- id: mock_authorizer\n.*\n.*\n/m, '')
        .replaceAll(/^#( {2,}\S.*)$/gm, '$1');
      const { errors, warnings } = parseCcConfig(text, name);
      expect([...errors, ...warnings]).toEqual([]);
      expect(parse(text).cc_issuers).toEqual([
        expect.objectContaining({ id: 'snp_authorizer', args: { snpguest_binary: '/host/bin/snpguest' } }),
      ]);
    }
  });
});
