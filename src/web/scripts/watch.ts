import Hls from "hls.js/light";
import worker from "hls.js/dist/hls.worker.js";
console.log(Hls.version, worker);
