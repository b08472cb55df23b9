import { describe, expect, it } from 'vitest';
import { graph } from '../../../src/graph/graph.ts';

describe('a plan', () => {
  const build = (baseIsCached: boolean) => {
    const ran: string[] = [];
    const g = graph<{ key: string }>();
    const base = g.task('base', {
      title: 'Base system',
      cached: async (ctx) => baseIsCached && `folder of ${ctx.options.key}`,
      run: () => {
        ran.push('base');
        return 'folder';
      },
    });
    const seal = g.task('seal', { title: 'Seal', needs: { base }, run: () => 'sealed' });
    const initrd = g.task('initrd', {
      title: 'Initrd',
      needs: { base },
      cached: async ({ base }) => (base === undefined ? undefined : `initrd from ${base}`),
      run: ({ base }) => `initrd from ${base}`,
    });
    const measure = g.task('measure', {
      title: 'Launch digest',
      needs: { initrd, seal },
      cached: async ({ initrd, seal }) => (initrd && seal ? 'digest' : undefined),
      run: () => 'digest',
    });
    g.task('unwanted', { title: 'Unwanted', needs: { measure }, run: () => ran.push('unwanted') });
    return { g, ran, measure };
  };

  it('lets what is cached be known downstream, without running anything', async () => {
    const { g, ran, measure } = build(true);
    expect(await g.plan({ options: { key: 'k' }, targets: { measure } })).toEqual([
      { name: 'base', title: 'Base system', needs: [], cached: true },
      { name: 'seal', title: 'Seal', needs: ['base'], cached: false },
      { name: 'initrd', title: 'Initrd', needs: ['base'], cached: true },
      { name: 'measure', title: 'Launch digest', needs: ['initrd', 'seal'], cached: undefined },
    ]);
    expect(ran).toEqual([]);
  });

  it('says unknown, not absent, below what has yet to be made', async () => {
    const { g, measure } = build(false);
    const rows = await g.plan({ options: { key: 'k' }, targets: { measure } });
    expect(rows.map(({ name, cached }) => [name, cached])).toEqual([
      ['base', false],
      ['seal', false],
      ['initrd', undefined],
      ['measure', undefined],
    ]);
  });

  it('stops at an interruption and passes on what a look-up throws', async () => {
    const { g, measure } = build(true);
    const signal = AbortSignal.abort(new Error('interrupted'));
    await expect(g.plan({ options: { key: 'k' }, targets: { measure }, signal })).rejects.toThrow(
      'interrupted',
    );
    const broken = g.task('broken', {
      title: 'Broken',
      cached: () => Promise.reject(new Error('cannot read the archive')),
      run: () => 1,
    });
    await expect(g.plan({ options: { key: 'k' }, targets: { broken } })).rejects.toThrow(
      'cannot read the archive',
    );
  });
});
