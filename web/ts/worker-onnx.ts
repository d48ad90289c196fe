import * as glue from '../wasm/onnx/glue.js';
import { serve } from './serve.js';

serve(glue);
