import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { bootDevelopmentBundle } from '../../src/boot/index.ts';
import { built } from './built.ts';
import { copyOfBundle, expectPoweredOffSaying } from './harness.ts';

test('a production bundle without SEV-SNP powers off and asks nobody for anything', async () => {
  await using vm = await copyOfBundle('production');
  expect(vm.manifest.kind).toBe('production');
  let connections = 0;
  // In place of the key broker: whatever connects is counted, TLS or not.
  const listener = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as { port: number };
  try {
    const end = await vm.boot({ kbsUrl: `https://127.0.0.1:${port}`, hostile: { production: true } });
    await expectPoweredOffSaying(vm, end, 'FAILED E30: this is not a SEV-SNP guest');
    // The port for a verdict is there, and a production bundle says nothing on it.
    expect(end.verdict).toBeUndefined();
    expect(end.console.join('\n')).not.toContain('kbs-client was run');
    expect(connections).toBe(0);
  } finally {
    listener.close();
  }
});

test('the command does not even start a production bundle', async () => {
  const { folder } = built().production;
  const started = bootDevelopmentBundle({
    folder,
    state: built().state,
    workDirectory: '/nonexistent',
    onConsole: () => {},
    note: () => {},
  });
  await expect(started).rejects.toThrow('it is a production bundle, which needs SEV-SNP hardware');
});
