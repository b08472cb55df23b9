import { describe, expect, it } from 'vitest';
import { nearest } from '../../../src/config/nearest.ts';

const names = ['allowed_ports', 'allowed_out_ports', 'docker_archive', 'role'];

describe('nearest', () => {
  it.each([
    ['allowed_port', 'allowed_ports'],
    ['alowed_out_ports', 'allowed_out_ports'],
    ['docker-archive', 'docker_archive'],
    ['DOCKER_ARCHIVE', 'docker_archive'],
    ['rloe', 'role'],
  ])('takes %s for %s', (word, meant) => {
    expect(nearest(word, names)).toBe(meant);
  });

  it.each([
    '',
    'x',
    'workload_image',
    'r'.repeat(10_000),
  ])('guesses nothing from a word that is like none', (word) => {
    expect(nearest(word, names)).toBeUndefined();
  });
});
