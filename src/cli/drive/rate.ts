import { bytesText, duration } from '../../report/text.ts';

/** Seconds that a rate looks back. */
const window = 5;

/**
 * Progress of a copy in words, with rate and time left: `42 % (1.2 GiB of 2.9 GiB), 310 MiB/s, 5.5 s left`.
 * @param now seconds; the process's clock unless told otherwise
 */
export function rateText(
  now: () => number = () => performance.now() / 1000,
): (done: number, total: number) => string {
  const samples: { at: number; done: number }[] = [];
  return (done, total) => {
    const at = now();
    samples.push({ at, done });
    while (samples.length > 2 && at - samples[0]!.at > window) samples.shift();
    const first = samples[0]!;
    const rate = at - first.at < 0.2 ? undefined : (done - first.done) / (at - first.at);
    const share = total === 0 ? 100 : Math.min(100, Math.floor((100 * done) / total));
    const count = `${share} % (${bytesText(done)} of ${bytesText(total)})`;
    if (rate === undefined || rate <= 0) return count;
    return `${count}, ${bytesText(rate)}/s, ${duration(Math.max(0, total - done) / rate)} left`;
  };
}
