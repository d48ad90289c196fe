// The glue that wasm-bindgen generates; the build puts it beside the compiled modules.
declare module '*/full/glue.js' {
  const glue: import('./glue.js').Glue;
  export = glue;
}
declare module '*/import/glue.js' {
  const glue: import('./glue.js').Glue;
  export = glue;
}
declare module '*/onnx/glue.js' {
  const glue: import('./glue.js').Glue;
  export = glue;
}
declare module '*/inference/glue.js' {
  const glue: import('./glue.js').Glue;
  export = glue;
}
