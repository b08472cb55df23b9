import type { GraphEvent, Listener } from '../graph/events.ts';
import type { ProjectSite } from './site.ts';

/**
 * Tells of many builds as of one run whose tasks are the sites: each one's own tasks show as its progress. Warnings are kept until the end, so that
 * one that holds for twenty sites is said once.
 */
export class SiteEvents {
  readonly #listener: Listener;
  readonly #warnings = new Map<string, string[]>();
  readonly #begin = performance.now();

  constructor(sites: readonly ProjectSite[], listener: Listener) {
    this.#listener = listener;
    listener({ type: 'begin', tasks: sites.map(({ name }) => ({ name, title: name })) });
  }

  /** Runs one site's build and tells how it went. */
  async around<Result>({ name }: ProjectSite, work: (events: Listener) => Promise<Result>): Promise<Result> {
    const label = { task: name, title: name };
    const begin = performance.now();
    const ended = () => ({ ...label, seconds: (performance.now() - begin) / 1000 });
    let stopped = false;
    this.#listener({ type: 'start', ...label });
    try {
      const result = await work((event) => {
        stopped ||= event.type === 'cancel';
        this.#within(name, event);
      });
      this.#listener({ type: 'done', ...ended(), cached: false });
      return result;
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      this.#listener(stopped ? { type: 'cancel', ...ended() } : { type: 'fail', ...ended(), error });
      throw thrown;
    }
  }

  #within(name: string, event: GraphEvent): void {
    const label = { task: name, title: name };
    if (event.type === 'start') this.#listener({ type: 'progress', ...label, progress: event.title });
    else if (event.type === 'warn')
      this.#warnings.set(event.text, [...(this.#warnings.get(event.text) ?? []), name]);
    else if (event.type === 'cleanup-failed') this.#listener(event);
  }

  /** Says the warnings, and ends the run. */
  end(ok: boolean): void {
    for (const [text, names] of this.#warnings) {
      const [first = '', ...others] = names;
      const whose = others.length === 0 ? first : `${first} and ${others.length} more`;
      this.#listener({ type: 'warn', task: first, title: first, text: `${whose}: ${text}` });
    }
    this.#listener({ type: 'end', ok, seconds: (performance.now() - this.#begin) / 1000 });
  }
}
