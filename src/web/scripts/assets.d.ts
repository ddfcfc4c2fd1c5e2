declare module "hls.js/dist/hls.worker.js" {
  /** The address of hls.js' worker: the build keeps it as a file of its own. */
  const address: string;
  export default address;
}
