import { readdir } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Boot, Federation, type Step } from './federation.ts';

let federation: Federation;
let sites: { server: string; client: string };
let ends: { server: Boot; client: Boot };
let steps: Step[];

beforeAll(async () => {
  federation = await Federation.make();
  await federation.makeImage();
});
afterAll(() => federation?.[Symbol.asyncDispose]());

test('FLARE provisions a bundle for the server and one for the client', async () => {
  const said = await federation.provision();
  expect(said).toContain('Provisioning complete.');
  for (const name of ['server1', 'site-1']) {
    expect(await readdir(federation.package(name))).toEqual([`${name}.tgz`]);
  }
  sites = { server: await federation.unpack('server1'), client: await federation.unpack('site-1') };
});

test('the server accepts the client, a NumPy job runs to its end, and both CVMs end well', async () => {
  const [server, client, done] = await Promise.all([
    federation.boot(sites.server, '--forward', '8002:8002'),
    federation.boot(sites.client, '--peer', '127.0.0.1:8002'),
    federation.administer('site-1', federation.path('jobs/hello-numpy'), federation.path('result')),
  ]);
  ends = { server, client };
  steps = done;
  expect(steps.map(({ step }) => step)).toEqual([
    ...['connected', 'client accepted', 'submitted', 'ended', 'downloaded', 'shut down'],
  ]);
  expect(steps).toContainEqual(
    expect.objectContaining({ step: 'ended', end: 'JOB_FINISHED', status: 'FINISHED:COMPLETED' }),
  );
  for (const { status, output } of [server, client]) {
    expect(output).toContain('the KBS released the disk key');
    expect(output).toMatch(
      /^CVM [0-9a-f]{12} booted and ended well: the workload ended well \(\d+ s under /m,
    );
    expect(status).toBe(0);
  }
});

test('its result is the model after three rounds', async () => {
  expect(await federation.array('result/workspace/models/server.npy')).toEqual([
    [4, 5, 6],
    [7, 8, 9],
    [10, 11, 12],
  ]);
});

test("FLARE's own log of each is on applog, beside that of the boot", async () => {
  const server = await federation.log(sites.server, 'log.txt');
  expect(server).toContain('New client site-1@');
  expect(server).toContain('Finished FedAvg.');
  const client = await federation.log(sites.client, 'log.txt');
  for (const round of [1, 2, 3]) expect(client).toContain(`site-1: round ${round} of 3`);
  for (const site of [sites.server, sites.client]) {
    expect(await federation.log(site, 'boot.log')).toContain('the workload ended well');
    // The start script ran from the sealed kit and moved into the vault.
    expect(await federation.log(site, 'workload.log')).toContain('WORKSPACE set to /vault/workspace/nvflare');
  }
});

test('a FLARE that was cut off with its VM starts again', async () => {
  const server = await federation.unpack('server1');
  await federation.bootUntil(server, 'Server started', 1);
  await federation.bootUntil(server, 'Server started', 2);
});

test('how long it took', () => {
  const took = (text: string) => /\((\d+ s) under/.exec(text)?.[1];
  console.log(`server ${took(ends.server.output)}, client ${took(ends.client.output)}`);
  for (const { step, seconds } of steps) console.log(`${step} after ${seconds} s`);
});
