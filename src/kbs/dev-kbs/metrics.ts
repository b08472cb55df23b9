/** Counters of the policy's answers. */
type PolicyCounter = 'evaluations' | 'approvals' | 'violations' | 'errors';

/**
 * What `/metrics` tells, to everyone: as with the real broker the resource paths are among it. Paths get here only
 * once an administrator or an attested guest has used them.
 */
export class Metrics {
  #requests = 0;
  readonly #policy: Record<PolicyCounter, number> = {
    evaluations: 0,
    approvals: 0,
    violations: 0,
    errors: 0,
  };
  readonly #resources = { reads: new Map<string, number>(), writes: new Map<string, number>() };

  request(): void {
    this.#requests += 1;
  }

  policy(counter: PolicyCounter): void {
    this.#policy[counter] += 1;
  }

  /** @param path three checked segments. */
  resource(what: 'reads' | 'writes', path: string): void {
    const counts = this.#resources[what];
    counts.set(path, (counts.get(path) ?? 0) + 1);
  }

  /** Prometheus' text format. */
  text(): string {
    const lines = [counter('kbs_http_requests_total', [['', this.#requests]])];
    for (const [name, count] of Object.entries(this.#policy)) {
      lines.push(counter(`kbs_policy_${name}_total`, [['', count]]));
    }
    for (const [what, counts] of Object.entries(this.#resources)) {
      const labelled = [...counts].map(([path, count]): [string, number] => [
        `{resource_path="${path}"}`,
        count,
      ]);
      if (labelled.length > 0) lines.push(counter(`kbs_resource_${what}_total`, labelled));
    }
    return lines.join('');
  }
}

function counter(name: string, values: [labels: string, count: number][]): string {
  return `# TYPE ${name} counter\n${values.map(([labels, count]) => `${name}${labels} ${count}\n`).join('')}`;
}
