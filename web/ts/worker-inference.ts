import * as glue from '../wasm/inference/glue.js';
import { serve } from './serve.js';

serve(glue);
