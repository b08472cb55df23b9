import { expect, it } from 'vitest';
import type { FirmwareFacts } from '../../../../src/base/index.ts';
import { placesText } from '../../../../src/cli/base/firmware.ts';

const facts: FirmwareFacts = {
  file: '/bi/OVMF.amdsev.fd',
  origin: 'base_images/',
  sha256: 'ab'.repeat(32),
  size: 4_194_304,
  hashTableAddress: '0x810c00',
  snpSections: 7,
  verdict: 'weak',
  reason: 'it can start more',
};
const there = { place: 'base_images/OVMF.amdsev.fd', used: true, facts };

it('every place is listed in order, and the one that a build takes is marked', () => {
  const lines = placesText([{ place: 'first', used: false }, there]).split('\n');
  expect(lines[0]).toBe('      first: nothing there');
  expect(lines[1]).toBe('used  base_images/OVMF.amdsev.fd');
  expect(lines.join('\n')).toMatch(/kernel hashes {2}table at 0x810c00\n +SNP metadata {3}7 sections\n/);
  expect(lines.join('\n')).toContain('verdict        weak: it can start more');
});

it('what cannot be measured with says so', () => {
  const { hashTableAddress: _, ...rest } = facts;
  const text = placesText([
    { ...there, facts: { ...rest, snpSections: 0, unfit: 'it has no SEV metadata' } },
    { place: 'other', used: false, problem: 'its size is 3 bytes' },
  ]);
  expect(text).toMatch(/kernel hashes {2}not checked/);
  expect(text).toMatch(/SNP metadata {3}none/);
  expect(text).toMatch(/cannot be used {1,}it has no SEV metadata/);
  expect(text).toContain('cannot be used: its size is 3 bytes');
});

it('the way to sound firmware is shown unless a build takes sound firmware', () => {
  const way = '`cvm base firmware build` makes a sound one';
  expect(placesText([there])).toContain(way);
  expect(placesText([{ place: 'first', used: false }])).toContain(way);
  expect(placesText([{ ...there, facts: { ...facts, verdict: 'sound' } }])).not.toContain(way);
});

it('no value can drive a terminal', () => {
  const hostile = { ...there, facts: { ...facts, origin: '\u001b[2J', file: '\u001b]0;x' } };
  expect(placesText([hostile])).not.toContain('\u001b');
});
