import { expect, it } from 'vitest';
import { renderPlan } from '../../../src/report/plan.ts';

it('a plan reads as a table of what is cached, what is to be made, and what cannot be told', () => {
  const rows = [
    { name: 'base', title: 'Base system', needs: [], cached: true },
    { name: 'seal', title: 'Sealed root drive', needs: ['base'], cached: false },
    { name: 'initrd', title: 'Initrd', needs: ['base', 'seal'], cached: undefined },
  ];
  expect(renderPlan(rows)).toBe(`\
Base system        cached
Sealed root drive  to be made                 after Base system
Initrd             known when its inputs are  after Base system, Sealed root drive`);
  expect(renderPlan([])).toBe('');
});
