/** TCP ports that the sealed packet filter opens. */
export interface SealedPorts {
  in: number[];
  out: number[];
}

/** Ports in the chains `input` and `output` of a bundle's rules (templates/site/firewall.nft), the key broker's and DNS left out. */
export function portsOf(firewall: string): SealedPorts {
  const chain = (name: string) =>
    new RegExp(`chain ${name} \\{([\\s\\S]*?)\\n\\t\\}`).exec(firewall)?.[1] ?? '';
  const ports = (rules: string) =>
    [...rules.matchAll(/^\s*tcp dport \{ ([\d, ]+) \} accept$/gm)]
      .flatMap(([, list]) => list!.split(',').map((port) => Number(port.trim())))
      .filter((port) => Number.isInteger(port) && port > 0 && port < 65_536);
  return { in: ports(chain('input')), out: ports(chain('output')) };
}
