/** The light build has the declarations of the whole one. */
declare module "hls.js/light" {
  export * from "hls.js";
  export { default } from "hls.js";
}

declare module "hls.js/dist/hls.worker.js" {
  /** The address of hls.js' worker: the build keeps it as a file of its own. */
  const address: string;
  export default address;
}
