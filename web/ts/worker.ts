import * as glue from '../wasm/full/glue.js';
import { serve } from './serve.js';

serve(glue);
