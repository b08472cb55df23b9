import { describe, expect, it } from 'vitest';
import { candidatesOf } from '../../../src/diagnose/candidates.ts';
import { commandLineCandidates } from '../../../src/diagnose/command-lines.ts';
import { diagnose } from '../../../src/diagnose/index.ts';
import { search } from '../../../src/diagnose/search.ts';
import { manifest, manifestFor, ownSources } from './bundle.ts';

const words = (count: number) => Array.from({ length: count }, (_, index) => `w${index}`).join(' ');
const linesOf = (measured: string, vcpus: readonly number[] = [8]) =>
  commandLineCandidates({ measured, script: 'from script', offered: ['offered'], vcpus });

describe('the command lines to try', () => {
  it('hold an edit for each of 256 parameters', () => {
    const lines = linesOf(words(256));
    expect(lines.filter(({ value }) => value.edit.kind === 'without')).toHaveLength(256);
    expect(lines.filter(({ value }) => value.text.includes('nr_cpus='))).toHaveLength(64);
  });

  it.each([
    ['10,000 words', words(10_000)],
    ['257 words', words(257)],
    ['one word of 4097 characters', 'x'.repeat(4097)],
    ['nothing but blanks', ' '.repeat(10_000)],
  ])('hold no edits of %s', (_, measured) => {
    expect(linesOf(measured, [8, 300]).map(({ value }) => value)).toEqual([
      { text: measured, edit: { kind: 'measured' } },
      { text: 'from script', edit: { kind: 'script' } },
      { text: 'offered', edit: { kind: 'offered' } },
      { text: '', edit: { kind: 'empty' } },
    ]);
  });
});

describe('a search that has nothing to hash', () => {
  const candidates = candidatesOf(manifest, { ...ownSources, firmware: [] });
  const digest = Buffer.alloc(48, 7);

  it('ends when it has combined enough', async () => {
    const { tried } = await search(digest, candidates, { mostVcpus: 512, mostPages: 100 });
    expect(tried).toMatchObject({ digests: 0, complete: false });
  });

  it('can be interrupted', async () => {
    const controller = new AbortController();
    const many = { ...candidates, initrd: Array.from({ length: 2000 }, () => candidates.initrd[0]!) };
    const running = search(digest, many, { mostVcpus: 512, signal: controller.signal });
    setImmediate(() => controller.abort(new Error('stop')));
    await expect(running).rejects.toThrow('stop');
  });
});

it('a diagnosis that is interrupted before it begins measures nothing', async () => {
  const signal = AbortSignal.abort(new Error('stop'));
  const forged = manifestFor();
  // The first thing that a measurement would refuse.
  forged.launch.cpu = 'no such model';
  const digest = Buffer.alloc(48);
  await expect(diagnose({ manifest: forged, sources: ownSources, digest, signal })).rejects.toThrow('stop');
});
