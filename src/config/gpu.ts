/** FLARE's GPUAuthorizer, and classes named after it. */
const gpuAuthorizer = /(?:^|\.)\w*GPU\w*Authorizer$/i;

/** Whether the class of a token issuer (`cc_issuers[].path`) attests a GPU. */
export function attestsGpu(path: string): boolean {
  return gpuAuthorizer.test(path);
}

/** Whether the workload is given a GPU: one of the two settings that speak of it is enough. */
export function usesGpu(site: {
  gpuMechanism: 'nvidia_cc' | undefined;
  issuers: readonly { path: string }[];
}): boolean {
  return site.gpuMechanism !== undefined || site.issuers.some(({ path }) => attestsGpu(path));
}
