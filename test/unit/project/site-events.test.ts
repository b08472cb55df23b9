import { describe, expect, it } from 'vitest';
import type { GraphEvent } from '../../../src/graph/events.ts';
import type { ProjectSite } from '../../../src/project/site.ts';
import { SiteEvents } from '../../../src/project/site-events.ts';

const site = (name: string) => ({ name }) as ProjectSite;

/** What was told, times left out. */
function listen() {
  const events: GraphEvent[] = [];
  const told = new SiteEvents([site('a'), site('b')], (event) => events.push(event));
  const lines = () =>
    events.map((event) => {
      const what = 'task' in event ? ` ${event.task}` : '';
      const more =
        event.type === 'progress' ? ` ${event.progress}` : event.type === 'warn' ? ` ${event.text}` : '';
      return `${event.type}${what}${more}`;
    });
  return { told, lines };
}

const within = { task: 'seal', title: 'Sealed root drive' };

describe('the events of many builds', () => {
  it('are those of one run whose tasks are the sites', async () => {
    const { told, lines } = listen();
    await told.around(site('a'), async (events) => {
      events({ type: 'begin', tasks: [] });
      events({ type: 'start', ...within });
      events({ type: 'note', ...within, text: 'of no interest' });
      events({ type: 'done', ...within, seconds: 1, cached: false });
      events({ type: 'end', ok: true, seconds: 1 });
    });
    told.end(true);
    expect(lines()).toEqual(['begin', 'start a', 'progress a Sealed root drive', 'done a', 'end']);
  });

  it('tell a failure from an interruption, and hand the error on', async () => {
    const { told, lines } = listen();
    const failing = told.around(site('a'), async (events) => {
      events({ type: 'fail', ...within, seconds: 1, error: new Error('no') });
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    const stopped = told.around(site('b'), async (events) => {
      events({ type: 'cancel', ...within, seconds: 1 });
      throw new Error('interrupted');
    });
    await expect(stopped).rejects.toThrow('interrupted');
    expect(lines()).toEqual(['begin', 'start a', 'fail a', 'start b', 'cancel b']);
  });

  it('say a warning of several sites once, and whose it is', async () => {
    const { told, lines } = listen();
    for (const name of ['a', 'b']) {
      await told.around(site(name), async (events) => {
        events({ type: 'warn', ...within, text: 'of both' });
        if (name === 'b') events({ type: 'warn', ...within, text: 'of b' });
      });
    }
    told.end(true);
    expect(lines().filter((line) => line.startsWith('warn'))).toEqual([
      'warn a a and 1 more: of both',
      'warn b b: of b',
    ]);
  });
});
